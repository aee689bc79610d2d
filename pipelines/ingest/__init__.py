"""From a file somebody dropped to judged rows in Parquet; needs no warehouse."""
