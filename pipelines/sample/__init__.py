"""A made-up city whose totals are the published figures in `city.py`: one call lands its files."""

from pipelines.sample.deliver import SampleSummary, write_sample

__all__ = ["SampleSummary", "write_sample"]
