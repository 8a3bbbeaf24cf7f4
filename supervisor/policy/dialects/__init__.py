"""Policy dialects: each module reads the manifests of one, and answers rules of `supervisor.policy.resources.model`."""
