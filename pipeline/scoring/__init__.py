"""Trained heads scored on a split: which, and how."""
