"""sluice.yaml as typed values."""
