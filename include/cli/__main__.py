"""``python -m include.cli``: the same as the console script ``carm``."""

from include.cli import main

main()
