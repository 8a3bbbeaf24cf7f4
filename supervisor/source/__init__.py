"""Text with places: YAML and JSON as nodes, problems with file, line and column."""
