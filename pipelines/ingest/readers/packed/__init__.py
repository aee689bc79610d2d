"""What a file really is, and what lies packed in it."""
