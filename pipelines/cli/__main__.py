"""Run the command as `python -m pipelines.cli`, where no console script is on the path."""

from pipelines.cli import app

app()
