"""`python -m pipeline`: the same as `erc`."""

from pipeline.cli import main

main()
