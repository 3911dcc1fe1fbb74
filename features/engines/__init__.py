"""Where the work of an extraction runs."""
