"""The wire formats of hub and edge, one version a package."""
