"""What is measured, a module a section: `measure(size, place, show)` gives its tables."""
