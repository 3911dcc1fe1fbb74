"""Media: a clip's file, decoded once into the sound and the pictures that are needed of it, within limits."""
