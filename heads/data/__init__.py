"""The arrays of a head: stored features and a manifest joined, normalised, and dealt into batches."""
