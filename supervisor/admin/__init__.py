"""The admin pages and metrics over HTTP."""
