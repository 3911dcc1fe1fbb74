"""The run folder on disk: its files, read and written whole, as checked values."""
