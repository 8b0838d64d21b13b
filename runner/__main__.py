"""The command `corral`, which is also `python -m runner`."""

from __future__ import annotations

import gc


def main() -> None:
    """Run one command.

    Its modules make objects without number that live as long as it does. Python's collector is kept from
    looking for garbage among them again and again: that took a sixth of the start of every command.
    """
    gc.disable()
    from runner.cli import main as run  # noqa: PLC0415 - only now

    gc.freeze()
    gc.enable()
    run()


if __name__ == "__main__":
    main()
