"""The process's own log, and the access log's writer."""
