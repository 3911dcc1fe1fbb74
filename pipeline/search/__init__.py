"""A search for settings: its space, its trials, its record."""
