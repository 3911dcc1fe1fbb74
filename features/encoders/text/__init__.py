"""Encoders of what is said."""
