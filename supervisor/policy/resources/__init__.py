"""The common form of all dialects' manifests: documents with places, host patterns and lists, and rules."""
