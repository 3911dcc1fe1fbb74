"""What a command shows and takes in a terminal: options, bars, tables, groups."""
