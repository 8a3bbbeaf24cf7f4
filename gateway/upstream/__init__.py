"""Connections to parents that many tunnels share."""
