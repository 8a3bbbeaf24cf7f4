"""Traces of requests and tunnels: which are recorded, and the ids and times of their spans."""
