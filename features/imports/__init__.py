"""Features that others made: read from their files, joined to a manifest by id, and stored like any other.

Files are read by plain parsers alone. Nothing of a file is ever run: see `features.imports.safe_pickle`.
"""
