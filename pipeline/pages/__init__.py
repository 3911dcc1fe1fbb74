"""What all pages share: figures, words, style, and how one is rendered and written."""
