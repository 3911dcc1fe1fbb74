"""One file a command. Heavy imports stay inside the functions, so that `erc --help` is fast."""
