"""The hub over HTTP: probes, metrics, and a page that shows how things stand."""
