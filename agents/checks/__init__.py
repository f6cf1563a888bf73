from agents.checks import counts as counts
from agents.checks import csv as csv
from agents.checks import csv_sources as csv_sources
from agents.checks import files as files
from agents.checks import privacy as privacy
from agents.checks import tickets as tickets
from agents.checks import sql as sql
