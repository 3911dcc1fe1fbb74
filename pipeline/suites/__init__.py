"""Suites: planned on a store, trained over several seeds, cross-validated, listed."""
