"""Migrations, applied in order by hub.store.migrate."""
