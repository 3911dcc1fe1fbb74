"""Stage 2: train fusion, context, feed-forward and loss heads on stored embeddings."""
