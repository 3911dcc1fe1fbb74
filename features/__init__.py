"""Stage 1: run each frozen encoder once over a corpus and keep one embedding per utterance."""
