"""The shared memory of worker slots, read: counters, live tunnels, limits, labels."""
