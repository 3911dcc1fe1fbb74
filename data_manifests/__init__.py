"""Dataset cards (YAML): where to get a corpus, its counts, label order, folders and known-bad clips."""
