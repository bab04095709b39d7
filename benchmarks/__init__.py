"""Benchmarks: every figure a ratio to a baseline of the same run where there is one; see CONTRIBUTING.md."""
