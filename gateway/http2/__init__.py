"""An HTTP/2 connection on a socket, of either side: read, written, timed and ended."""
