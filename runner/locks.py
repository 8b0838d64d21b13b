"""A lock between threads and processes of one host, held by a file that outlives nobody."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Hold the exclusive lock of a file, waiting for it if need be; the kernel frees it if we die."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


@contextmanager
def shared(file: Path) -> Iterator[None]:
    """Hold the lock of a file beside others who share it, waiting for one who has it alone."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_SH)
        yield


def is_held(file: Path, patience: float = 0.1) -> bool:
    """Whether somebody holds the lock of a file. No file is made.

    Args:
        file: The file.
        patience: Seconds; who only asks, as we do, holds it for no longer.
    """
    if not file.exists():
        return False
    with try_locked(file, patience) as ours:
        return not ours


@contextmanager
def try_locked(file: Path, patience: float = 0) -> Iterator[bool]:
    """Hold the exclusive lock of a file if nobody else does; yields whether we hold it.

    Whoever only asks in this way holds it for a moment too. So who means to keep it tries for some seconds
    (`patience`) before believing that another one does.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    until = time.monotonic() + patience
    with file.open("a") as handle:
        while not (ours := _taken(handle)) and time.monotonic() < until:
            time.sleep(0.02)
        yield ours


def _taken(handle: IO[str]) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
