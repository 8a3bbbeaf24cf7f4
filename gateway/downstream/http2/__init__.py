"""A client's HTTP/2 connection and its streams."""
