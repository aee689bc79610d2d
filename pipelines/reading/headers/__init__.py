"""Find a header, match it with the contract, read the units that it states."""
