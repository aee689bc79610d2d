"""City-Brain Metrics: departmental exports in, a checked warehouse and the pace of targets out."""

__version__ = "0.1.0"
