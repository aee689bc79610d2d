"""Archives, and what a file really is."""
