"""Encoders: the protocol they follow, the table of their names, how one is built, and one file each."""
