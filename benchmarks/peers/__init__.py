"""What people use instead, side by side with the core: only for `make bench-full` (docs/performance.md)."""
