"""Records with named fields: JSON, XML, Parquet."""
