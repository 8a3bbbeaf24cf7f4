"""The loop, sockets and what is watched. It knows no protocol and no policy."""
