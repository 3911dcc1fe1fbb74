"""Encoders of how it looks."""
