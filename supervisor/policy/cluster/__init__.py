"""The cluster's facts: manifests of pods, their owners, namespaces and services, read; and who has which address."""
