"""Load staged deliveries into the warehouse, a module a step."""
