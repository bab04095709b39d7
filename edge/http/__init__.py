"""The HTTP face of an edge."""
