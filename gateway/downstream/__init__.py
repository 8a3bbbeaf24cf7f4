"""The clients' side: listeners, and connections of byte-stream protocols."""
