"""Policy: from manifests through one dialect-neutral model to the compiled image."""
