"""`python -P -m orchestrator.mcp`: the tools of a job, without the rest of the command line."""

from pathlib import Path

from orchestrator.mcp.server import serve

serve(Path.cwd)
