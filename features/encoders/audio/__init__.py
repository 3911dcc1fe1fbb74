"""Encoders of how it sounds."""
