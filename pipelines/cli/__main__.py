"""`python -m pipelines.cli`: the command where no console script is on the path."""

from pipelines.cli import app

app()
