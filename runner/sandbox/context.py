"""Build contexts: tar streams made as they are read, so that neither memory nor disk holds a whole one."""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO

from runner.sandbox.layers import File

_CHUNK = 1024 * 1024
_MTIME = 1_577_836_800
"""Every file's time, 2020-01-01: contexts of the same content are the same bytes, and zip archives, which
begin in 1980, can be made of the files."""

_ENDING = b"\0" * (2 * tarfile.BLOCKSIZE)


def pack(*parts: Iterable[bytes]) -> Iterator[bytes]:
    """One tar stream of several parts."""
    for part in parts:
        yield from part
    yield _ENDING


def of_files(files: Iterable[File]) -> Iterator[bytes]:
    """The part that holds these files."""
    for file in files:
        yield _header(file.path, len(file.content), file.mode)
        yield file.content + _padding(len(file.content))


def of_disk(path: Path, name: str) -> Iterator[bytes]:
    """The part that holds one large file of this host, as an executable called `name`."""
    size = path.stat().st_size
    yield _header(name, size, 0o755)
    with path.open("rb") as handle:
        while chunk := handle.read(_CHUNK):
            yield chunk
    yield _padding(size)


def of_archive(
    archive: IO[bytes], prefix: str, wanted: Callable[[str], bool] = lambda _: True
) -> Iterator[bytes]:
    """The part that holds the members of another tar stream.

    Args:
        archive: An uncompressed tar, such as `git archive` prints.
        prefix: Put before each path; empty, or ending in `/`.
        wanted: Which paths are taken.

    Raises:
        tarfile.TarError: The stream isn't a tar, or ends early.
    """
    if prefix:
        yield _member(_entry(prefix.rstrip("/"), tarfile.DIRTYPE, 0o755))
    with tarfile.open(fileobj=archive, mode="r|") as source:
        for member in source:
            if wanted(member.name):
                yield from _copied(source, member, prefix)
            source.members.clear()  # type: ignore[attr-defined]  # the index of a whole stream; typeshed omits it


def _copied(source: tarfile.TarFile, member: tarfile.TarInfo, prefix: str) -> Iterator[bytes]:
    if not (member.isreg() or member.isdir() or member.issym()):
        raise tarfile.ReadError(f"{member.name!r} is not a file, a directory or a symbolic link")
    executable = member.isdir() or member.mode & 0o100
    entry = _entry(prefix + member.name, member.type, 0o755 if executable else 0o644)
    entry.size, entry.linkname = member.size, member.linkname
    yield _member(entry)
    content = source.extractfile(member) if member.isreg() else None
    if content is not None:
        while chunk := content.read(_CHUNK):
            yield chunk
        yield _padding(member.size)


def _header(path: str, size: int, mode: int) -> bytes:
    entry = _entry(path, tarfile.REGTYPE, mode)
    entry.size = size
    return _member(entry)


def _entry(path: str, kind: bytes, mode: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(path)
    entry.type, entry.mode, entry.mtime = kind, mode, _MTIME
    return entry


def _member(entry: tarfile.TarInfo) -> bytes:
    return entry.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")


def _padding(size: int) -> bytes:
    return b"\0" * (-size % tarfile.BLOCKSIZE)
