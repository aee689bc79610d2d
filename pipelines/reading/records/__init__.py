"""Records: JSON, JSON lines, XML, Parquet."""
