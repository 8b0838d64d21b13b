"""Unix sockets in directories of any length.

The kernel takes at most 107 bytes of path, so a socket is always named through a descriptor of the
directory it lies in.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

BACKLOG = 256


@contextmanager
def directory(path: Path) -> Iterator[int]:
    """A descriptor of an existing directory, closed at the end."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


def inside(fd: int, name: str) -> str:
    """A short path of a name in the directory that `fd` holds open in this very process."""
    return f"/proc/self/fd/{fd}/{name}"


def listen(folder: Path, name: str, mode: int) -> socket.socket:
    """A listening socket at `folder/name`, which takes the place of a stale one in a single step.

    It gets its mode before it gets its name, so no one ever meets it with another.
    """
    fresh = f"{name}.new"
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        with directory(folder) as fd:
            remove(fd, fresh)
            made.bind(inside(fd, fresh))
            os.chmod(inside(fd, fresh), mode)  # noqa: PTH101 - the path is a descriptor's, not a file name
            made.listen(BACKLOG)
            made.setblocking(False)
            os.rename(fresh, name, src_dir_fd=fd, dst_dir_fd=fd)
    except BaseException:
        made.close()
        raise
    return made


def connect(folder: Path, name: str, timeout: float) -> socket.socket:
    """A connection to the socket at `folder/name`; `timeout` in seconds holds for every later call."""
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        made.settimeout(timeout)
        with directory(folder) as fd:
            made.connect(inside(fd, name))
    except BaseException:
        made.close()
        raise
    return made


def remove(fd: int, name: str) -> None:
    """Remove a name from a directory, if it is there."""
    try:
        os.unlink(name, dir_fd=fd)
    except FileNotFoundError:
        return
