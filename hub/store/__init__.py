"""The hub's state in SQL: the only place that knows SQLAlchemy (docs/architecture.md)."""
