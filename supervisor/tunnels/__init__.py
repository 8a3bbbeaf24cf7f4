"""Live tunnels: listed, filtered, killed."""
