"""What the built-in agents' subjects show in a review, in the order in which a person looks."""

from agents.review.access import grids
from agents.review.figures import charts, row_counts
from agents.review.migration import sources
from orchestrator.panels import reviewer

for _each in (sources, grids, row_counts, charts):
    reviewer(_each)
