"""The control endpoint, both sides."""
