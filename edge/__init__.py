"""One node near the visitor: HTTP, journal, overlay, snapshot and sync."""
