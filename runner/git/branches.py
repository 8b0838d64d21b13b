"""What many branches of one repository hold and change, asked for all of them at once.

Everything is read as git gives it: names are bytes, ids are hex digits. One process answers for all branches,
so that a thousand of them take a second and not a thousand starts of git.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from runner.git import closed
from runner.git.closed import GitError

MOST_PATHS = 200_000
"""Paths kept of one branch; of one that changes more it is taken that it touches everything."""
LONGEST = 64 * 1024
"""Bytes of a record: a path, and what stands before it."""

_HEADER = re.compile(rb"[0-9a-f]{40} ([0-9a-f]{40})\n")
_TREE = b"040000"
_ABSENT = b"000000"


@dataclass
class Touched:
    """What a tree changes of another one.

    Attributes:
        paths: The files that differ.
        removed: Directories that are gone: git may take them for renamed.
        filled: Directories below which there are new files.
        everything: Whether it is too much to tell.
    """

    paths: set[bytes] = field(default_factory=set)
    removed: set[bytes] = field(default_factory=set)
    filled: set[bytes] = field(default_factory=set)
    everything: bool = False


@dataclass(frozen=True)
class Repository:
    """A git directory, and object directories that are read besides its own."""

    git_dir: Path
    borrowed: tuple[Path, ...] = ()

    def trees(self, commits: Sequence[str]) -> dict[str, str]:
        """The tree of each of these commits; those that are not there are left out.

        Raises:
            GitError: Git failed.
        """
        with (
            _lines(f"{commit}^{{tree}}" for commit in commits) as asked,
            closed.records(
                self.git_dir, "cat-file", "--batch-check", stdin=asked, alternates=self.borrowed
            ) as rows,
        ):
            answers = [row.split() for row in rows]
        if len(answers) != len(commits):
            raise GitError("cat-file", 0, "it did not answer for every commit")
        return {
            commit: words[0].decode()
            for commit, words in zip(commits, answers, strict=True)
            if len(words) == 3 and words[1] == b"tree"
        }

    def touched(self, base: str, trees: Iterable[str]) -> dict[str, Touched]:
        """What each of these trees changes of a base tree.

        Raises:
            GitError: Git failed, or an object is not there.
        """
        wanted = list(dict.fromkeys(trees))
        found: dict[str, Touched] = {}
        command = ("diff-tree", "--stdin", "-r", "-t", "-z", "--no-renames", "--no-ext-diff")
        with (
            _lines(f"{base} {tree}" for tree in wanted) as asked,
            closed.records(
                self.git_dir, *command, end=b"\0", longest=LONGEST, stdin=asked, alternates=self.borrowed
            ) as rows,
        ):
            _read(rows, found)
        if set(found) != set(wanted):
            raise GitError(command[0], 0, "it did not answer for every branch")
        return found

    def holders(self, base: str, tips: Sequence[str]) -> dict[str, int]:
        """Which of these tips hold each commit that is not in the base, as bits by their places.

        Raises:
            GitError: Git failed.
        """
        holds: dict[str, int] = {}
        for place, tip in enumerate(tips):
            holds[tip] = holds.get(tip, 0) | 1 << place
        with (
            _lines([*dict.fromkeys(tips), f"^{base}"]) as asked,
            closed.records(
                self.git_dir,
                *("rev-list", "--topo-order", "--parents", "--stdin"),
                longest=LONGEST,
                stdin=asked,
                alternates=self.borrowed,
            ) as rows,
        ):
            listed = [row.decode("ascii").split() for row in rows]
        for commit, *parents in listed:  # children stand before their parents
            for parent in parents:
                holds[parent] = holds.get(parent, 0) | holds[commit]
        return {commit: holds[commit] for commit, *_ in listed}


def above(path: bytes) -> Iterator[bytes]:
    """The directories that a path lies in, the nearest first; the root is none of them."""
    while b"/" in path:
        path = path.rpartition(b"/")[0]
        yield path


def _read(rows: Iterator[bytes], found: dict[str, Touched]) -> None:
    """Read what `diff-tree --stdin -z` prints: a line for each pair of trees, and its changes.

    The line ends as lines do, and so the name of the next pair stands at the head of a change. Where it is
    followed by no change there is another such line.
    """
    now = Touched()
    for row in rows:
        head = row
        while (header := _HEADER.match(head)) is not None:
            now = found[header[1].decode()] = Touched()
            head = head[header.end() :]
        if head:
            _note(now, head, next(rows, b""))


def _note(touched: Touched, head: bytes, path: bytes) -> None:
    before, after = head[1:].split(b" ", 2)[:2]
    if len(touched.paths) >= MOST_PATHS:
        touched.everything = True
    elif _TREE in (before, after):
        if before == _TREE and after != _TREE:
            touched.removed.add(path)
    else:
        touched.paths.add(path)
        if before == _ABSENT:
            touched.filled.update(above(path))


@contextmanager
def _lines(lines: Iterable[str]) -> Iterator[IO[bytes]]:
    """A file with these lines, for a command to read."""
    with tempfile.TemporaryFile() as file:
        file.writelines(f"{line}\n".encode() for line in lines)
        file.seek(0)
        yield file
