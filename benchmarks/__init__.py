"""Benchmarks: `python -m benchmarks`. Each claim about speed, side by side with what a user would do instead."""
