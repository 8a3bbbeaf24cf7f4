"""Compiling a generation in a process of its own, and making it active."""
