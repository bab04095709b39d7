"""The journal of one worker: what was acknowledged is in it (docs/decisions/0003-journal-and-frames.md)."""
