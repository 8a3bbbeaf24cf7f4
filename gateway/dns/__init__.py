"""Names to addresses: /etc/hosts, the cache, c-ares."""
