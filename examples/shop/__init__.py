"""The example shop: one process of its own, and `make run`, which starts everything around it."""
