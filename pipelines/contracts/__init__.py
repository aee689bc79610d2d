"""What departments promise: contracts, metrics, targets, departments, and their words."""
