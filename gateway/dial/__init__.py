"""From a complete request to a connected socket."""
