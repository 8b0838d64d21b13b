"""Files that a box may have written are read here, and by nothing else on the host.

A path that a box can write is a trap: a link to the host's own files, a pipe that never answers, a file
without an end, or a plain file that becomes one of these between the look and the read. So the kernel is
asked to open the path below a trusted directory without following anything (`openat2`, Linux 5.6). Where
it can't (an older kernel, or a filter that forbids the call), the path is walked one directory at a time,
each held open while the next is looked up, which gives the same promise.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Literal

from runner.errors import HostError

_OPENAT2 = 437
"""The system call's number, the same on every architecture that Corral runs on (asm-generic/unistd.h)."""

_RESOLVE = 0x01 | 0x02 | 0x04 | 0x08
"""NO_XDEV, NO_MAGICLINKS, NO_SYMLINKS and BENEATH (linux/openat2.h)."""

_FILE = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC | os.O_NOFOLLOW
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_TRIES = 32
"""How often `openat2` is asked again after it saw the tree change under it (EAGAIN)."""

_NOT_PLAIN = {errno.ELOOP, errno.EXDEV, errno.ENOTDIR, errno.ENXIO, errno.EAGAIN, errno.ENODEV, errno.EISDIR}

Why = Literal["missing", "not-plain", "too-large", "unreadable"]


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


class GuardedError(HostError):
    """The file was not read. `why` is the kind of reason, for callers that have better words for it.

    `missing`: nothing is there. `not-plain`: it is, or is reached by, something else than plain
    directories and a plain file on one file system. `too-large`: it holds more than was asked for.
    `unreadable`: the system refused for another reason, which the message gives.
    """

    def __init__(self, why: Why, message: str) -> None:
        super().__init__(message, cure="only a plain file below its directory is ever read from there")
        self.why: Why = why


def read_file(root: Path, relative: str, most: int) -> bytes:
    """The content of a plain file below a trusted directory; nothing is followed on the way to it.

    Args:
        root: The directory, whose own path no box can write.
        relative: The file's path below it, without `..`.
        most: How many bytes it may hold.

    Raises:
        GuardedError: Anything but a plain file of at most that size lies there, at whatever instant.
    """
    parts = _parts(relative)
    try:
        with _folder(root) as top, _opened(top, parts) as file:
            return _content(file, relative, most)
    except OSError as error:
        raise _refusal(relative, error) from error


def list_names(root: Path, relative: str, most: int) -> list[str]:
    """Names in a directory below a trusted one, in no order; nothing is followed on the way, or looked at.

    Args:
        root: The directory, whose own path no box can write.
        relative: The directory's path below it, without `..`.
        most: After how many names the rest is left: a box can make millions.

    Raises:
        GuardedError: Anything but a directory lies there.
    """
    parts = (*_parts(relative), ".")
    try:
        with _folder(root) as top, _opened(top, parts, _FOLDER) as folder, os.scandir(folder) as entries:
            return [entry.name for entry in islice(entries, most)]
    except OSError as error:
        raise _refusal(relative, error) from error


def _parts(relative: str) -> tuple[str, ...]:
    parts = tuple(part for part in relative.split("/") if part not in {"", "."})
    if not parts or relative.startswith("/") or ".." in parts or "\0" in relative:
        raise GuardedError("not-plain", f"{relative!a} does not name a file below its directory")
    return parts


@contextmanager
def _folder(root: Path) -> Iterator[int]:
    made = os.open(root, _FOLDER)
    try:
        yield made
    finally:
        os.close(made)


@contextmanager
def _opened(top: int, parts: tuple[str, ...], flags: int = _FILE) -> Iterator[int]:
    try:
        made = open_strictly(top, parts, flags)
    except OSError as error:
        if error.errno not in {errno.ENOSYS, errno.EPERM}:
            raise
        made = open_by_steps(top, parts, flags)
    try:
        yield made
    finally:
        os.close(made)


def open_strictly(top: int, parts: tuple[str, ...], flags: int = _FILE) -> int:
    """A descriptor by `openat2`, which follows nothing, at no instant.

    Raises:
        OSError: The kernel refused; ENOSYS or EPERM where the call itself is not to be had.
    """
    how = _OpenHow(flags=flags, mode=0, resolve=_RESOLVE)
    call = ctypes.CDLL(None, use_errno=True).syscall
    call.restype = ctypes.c_long
    path = ctypes.c_char_p(os.fsencode("/".join(parts)))
    for _ in range(_TRIES):
        made: int = call(
            ctypes.c_long(_OPENAT2), ctypes.c_int(top), path, ctypes.byref(how), ctypes.c_size_t(24)
        )
        if made >= 0:
            return made
        if ctypes.get_errno() != errno.EAGAIN:
            break
    raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def open_by_steps(top: int, parts: tuple[str, ...], flags: int = _FILE) -> int:
    """A descriptor by walking down, each directory held open while the next name is looked up in it.

    Raises:
        OSError: A name on the way is a link or no directory, or lies on another file system.
    """
    device, held = os.fstat(top).st_dev, os.dup(top)
    try:
        for part in parts[:-1]:
            below = os.open(part, _FOLDER | os.O_NOFOLLOW, dir_fd=held)
            os.close(held)
            held = below
        made = os.open(parts[-1], flags, dir_fd=held)
    finally:
        os.close(held)
    if os.fstat(made).st_dev != device:
        os.close(made)
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
    return made


def _content(file: int, relative: str, most: int) -> bytes:
    found = os.fstat(file)
    if not stat.S_ISREG(found.st_mode):
        raise GuardedError("not-plain", f"{relative!a} is not a plain file")
    content = bytearray()
    while found.st_size <= most and len(content) <= most:
        piece = os.read(file, min(most + 1 - len(content), 1 << 20))
        if not piece:
            return bytes(content)
        content += piece
    raise GuardedError("too-large", f"{relative!a} holds more than {most} bytes")


def _refusal(relative: str, error: OSError) -> GuardedError:
    if error.errno == errno.ENOENT:
        return GuardedError("missing", f"{relative!a} is not there")
    if error.errno in _NOT_PLAIN:
        return GuardedError("not-plain", f"{relative!a} is not a plain file, or is reached by a link")
    return GuardedError("unreadable", f"{relative!a} can't be read: {error.strerror}")
