"""Whether two trained configurations differ: paired intervals and tests that keep whole dialogues together."""
