"""Protocols as bytes in and bytes out: no descriptor, no clock, no policy."""
