"""Corpora fetched from where their cards say: planned, downloaded, checked, unpacked."""
