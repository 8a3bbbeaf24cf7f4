"""Worker slots and the bus to them."""
