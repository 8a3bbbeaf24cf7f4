"""The machine and its processes: descriptors, sockets, limits, endpoints."""
