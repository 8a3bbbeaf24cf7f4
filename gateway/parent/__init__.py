"""Parents that pass a tunnel on, and the source addresses to dial from."""
