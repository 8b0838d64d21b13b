"""`python -m runner` is `corral`."""

from runner.cli import main

main()
