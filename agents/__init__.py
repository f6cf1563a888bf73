"""The built-in agents, and the checks and effects that come with them."""

from orchestrator.domain.states import Part

#: the first maker also makes what is given to no other agent
PARTS = {
    "LEAD": Part.TRIAGER,
    "BUILDER": Part.MAKER,
    "SOOP": Part.MAKER,
    "ANALYST": Part.PROVIDER,
    "INSPECTOR": Part.INSPECTOR,
}
