"""Measures of operation: what a reload, a killed worker, a killed supervisor and the access log cost traffic."""
