"""TLS of listeners, and towards parents and origins: what is shown and asked, and legs on it. It knows no policy."""
