"""One HTTP request and its response: judged, routed, filtered, and carried between a client and an origin."""
