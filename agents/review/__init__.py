"""What the built-in agents' subjects show in a review, in the order in which a person looks."""

from orchestrate_agents.review.access import grids
from orchestrate_agents.review.figures import charts, row_counts
from orchestrate_agents.review.migration import sources
from orchestrator.review.panels import reviewer

for _each in (sources, grids, row_counts, charts):
    reviewer(_each)
