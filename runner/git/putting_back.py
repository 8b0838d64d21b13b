"""A commit like another one, but for some files that are as they were before: made in a quarantine."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from runner.git import closed
from runner.git.commits import oid_of

LONGEST = 64 * 1024
"""Bytes of a record: longer than any path that work may have."""


def _folders(path: bytes) -> Iterator[bytes]:
    """The directories that a path lies in."""
    place = path.find(b"/")
    while place > 0:
        yield path[:place]
        place = path.find(b"/", place + 1)


def _row(pair: tuple[bytes, ...]) -> tuple[bytes, bytes, bytes]:
    head, path = pair
    mode, _, oid, _, status = head.removeprefix(b":").split(b" ")
    return path, status, b"%s %s" % (mode, oid)


def put_back(
    git_dir: Path,
    borrowed: Sequence[Path],
    base: str,
    tip: str,
    paths: Collection[bytes],
    *,
    alone: bool = False,
) -> str:
    """Store a commit that differs from `tip` in these files alone: they are as in `base`, or not there.

    Where something stands in the place of a directory that one of them lies in, that goes, and all of the
    directory comes back.

    All that it needs besides the objects of `tip` is then in the quarantine itself.

    Args:
        git_dir: The quarantine, a bare repository. Its index is used.
        borrowed: Object directories that it reads besides its own.
        base: The commit that has the files as they were.
        tip: The commit that has them otherwise.
        paths: The files.
        alone: Whether it has no parents, instead of those of `tip`: then it brings no history along that
            boxes are not to be given.

    Raises:
        GitError: It can't be read or written.
    """

    def git(*arguments: str, stdin: bytes | None = None) -> bytes:
        return closed.git(git_dir, *arguments, stdin=stdin, alternates=borrowed)

    @contextmanager
    def differing() -> Iterator[Iterator[tuple[bytes, bytes, bytes]]]:
        """Of each file that differs: the path, whether it is new, and what it was."""
        compare = ("diff-index", "--cached", "-z", "--no-renames", base)
        with closed.records(git_dir, *compare, end=b"\0", longest=LONGEST, alternates=borrowed) as rows:
            yield map(_row, iter(lambda: tuple(islice(rows, 2)), ()))

    git("read-tree", tip)
    gone: list[bytes] = []
    there: list[bytes] = []
    above = {folder for path in paths for folder in _folders(path)}
    with differing() as rows:
        met = [(path, status) for path, status, _ in rows if path in paths or path in above]
    back = {folder for path, status in met if path in paths and status != b"A" for folder in _folders(path)}
    shut = {path for path, status in met if status == b"A" and path in back}
    with differing() as rows:
        for path, status, was in rows:
            if path in paths or path in shut or any(folder in shut for folder in _folders(path)):
                (gone if status == b"A" else there).append(b"%s\t%s\0" % (was, path))
    git("update-index", "--replace", "-z", "--index-info", stdin=b"".join(gone + there))
    tree = git("write-tree").strip()
    _, rest = git("cat-file", "commit", tip).split(b"\n", 1)
    while alone and rest.startswith(b"parent "):
        rest = rest.partition(b"\n")[2]
    body = b"tree " + tree + b"\n" + rest
    git("hash-object", "-t", "commit", "-w", "--stdin", stdin=body)
    made = oid_of("commit", body)
    packing = ("pack-objects", "-q", "--revs", "--stdout", "--delta-base-offset")
    source = (git_dir, packing, f"{made}\n^{tip}\n".encode())
    closed.pipe(source, (git_dir, ("index-pack", "--stdin")), closed.DEFAULT, borrowed)
    return made
