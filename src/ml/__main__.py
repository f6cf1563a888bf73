"""`python -m src.ml`: see `src/ml/cli.py`."""

from src.ml.cli import app

app(prog_name="python -m src.ml")
