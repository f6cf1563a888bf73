"""What the built-in agents' subjects show in a review, in the order in which a person looks."""

from orchestrate_agents.review.access import show_access
from orchestrate_agents.review.figures import show_charts, show_row_counts
from orchestrate_agents.review.migration import show_migrations
from orchestrator.review.panels import reviewer

for _reviewer in (show_migrations, show_access, show_row_counts, show_charts):
    reviewer(_reviewer)
