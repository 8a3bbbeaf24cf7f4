"""TLS of listeners: what is shown and asked, and legs that stand on it. It knows no policy."""
