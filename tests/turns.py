"""Turns of the processes that tests are spread over: what measures the machine has it for itself.

Everybody's tests hold a lock together; a test marked `alone` waits until it holds it by itself. Who waits
so keeps a second lock, through which everybody passes, so that the others can't go on before it for ever.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def turn(folder: Path, *, alone: bool) -> Iterator[None]:
    """Hold the machine with the others, or alone.

    Args:
        folder: Where the locks are.
        alone: Whether nobody else may hold it meanwhile.
    """
    with (folder / "next").open("a") as door, (folder / "tests").open("a") as machine:
        fcntl.flock(door, fcntl.LOCK_EX)
        fcntl.flock(machine, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(door, fcntl.LOCK_UN)
        try:
            yield
        finally:
            fcntl.flock(machine, fcntl.LOCK_UN)  # also where a child has a copy of the open file
