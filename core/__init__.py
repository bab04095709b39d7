"""The decision core: pure functions and the formats they read, compiled where time is spent."""
