"""A made-up city whose totals match the published figures in `seeds/`: one call lands its files."""

from pipelines.sample.deliver import SampleSummary, write_sample

__all__ = ["SampleSummary", "write_sample"]
