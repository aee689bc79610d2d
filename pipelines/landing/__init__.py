"""Find the files that arrive, receive them, and archive their bytes."""
