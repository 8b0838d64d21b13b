"""Single objects of a repository, by their ids, through one git process that answers many questions."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from runner.gather.policy import Refused
from runner.git import closed

MIB = 1024**2


class Objects:
    """Reads objects; made by `reading`."""

    def __init__(self, sizes: subprocess.Popen[bytes], bodies: subprocess.Popen[bytes]) -> None:
        self._sizes = sizes
        self._bodies = bodies

    def size(self, oid: str) -> int:
        """Its size in bytes.

        Raises:
            Refused: It is not there.
        """
        return _head(self._sizes, oid.encode())[1]

    def is_file(self, commit: str, path: bytes) -> bool:
        """Whether a file or a link lies at a path of a commit; a name of two lines is taken for one."""
        if b"\n" in path:
            return True
        try:
            return _head(self._sizes, commit.encode() + b":" + path)[0] == "blob"
        except Refused:
            return False

    def body(self, oid: str, largest: int) -> bytes:
        """Its bytes.

        Raises:
            Refused: It is not there, or larger; of which nothing is read.
        """
        kind, size = _head(self._sizes, oid.encode())
        if size > largest:
            raise Refused(f"a {kind} object of more than {largest // MIB} MiB")
        _head(self._bodies, oid.encode())
        body = _end(self._bodies.stdout).read(size + 1)
        if len(body) != size + 1:
            raise Refused("an object that can't be read in the time and memory that git may use")
        return body[:-1]


@contextmanager
def reading(git_dir: Path, alternates: tuple[Path, ...]) -> Iterator[Objects]:
    """Read single objects of a repository."""
    with (
        closed.streaming(git_dir, "cat-file", "--batch-check", alternates=alternates, stdin=True) as sizes,
        closed.streaming(git_dir, "cat-file", "--batch", alternates=alternates, stdin=True) as bodies,
    ):
        yield Objects(sizes, bodies)


def _head(process: subprocess.Popen[bytes], name: bytes) -> tuple[str, int]:
    """Ask for an object: its kind and size."""
    asked = _end(process.stdin)
    try:
        asked.write(name + b"\n")
        asked.flush()
    except BrokenPipeError as error:
        raise Refused("an object that can't be read in the time and memory that git may use") from error
    words = _end(process.stdout).readline().split()
    if len(words) != 3 or not words[2].isdigit():
        raise Refused("an object that it names is not there")
    return words[1].decode("ascii", errors="replace"), int(words[2])


def _end(pipe: IO[bytes] | None) -> IO[bytes]:
    if pipe is None:
        raise AssertionError("both ends are pipes")
    return pipe
