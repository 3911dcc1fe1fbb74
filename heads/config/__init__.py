"""What an experiment is: its settings, read from YAML, merged and checked."""
