"""What contenders run, each in a process of its own: our commands and what a user would do instead."""
