"""Spans on their way from the workers' segments to an OTLP/HTTP endpoint."""
