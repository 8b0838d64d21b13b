"""What of a commit's tree tells which files steer checks: the names at its top, and where its links lead."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from runner.gather.objects import Objects, reading
from runner.gather.policy import SYMLINK, Refused
from runner.git import closed
from runner.git.closed import GitError

LONGEST_TARGET = 4096
"""Linux's PATH_MAX: no link can be longer."""
FOLLOWED = 40
"""Links that Linux follows in one path."""
WORKSPACE = "/workspace"
"""Where the tree lies in a box."""


@dataclass(frozen=True)
class Tree:
    """A tree, as far as it matters here.

    Attributes:
        tops: The names of what stands at its top.
        links: The paths of its links.
        target: Says what a link's text is; None where it can't be told.
    """

    tops: frozenset[str] = frozenset()
    links: frozenset[str] = frozenset()
    target: Callable[[str], str | None] = field(default=lambda _: None)

    def real(self, path: str) -> str | None:
        """Where a path of the tree really lies, with all links in it followed; None where that is outside.

        What does not exist keeps its name.
        """
        done: list[str] = []
        waiting, followed = path.split("/")[::-1], 0
        while waiting:
            part = waiting.pop()
            if part in {"", "."}:
                continue
            if part == "..":
                if not done:
                    return None
                done.pop()
                continue
            done.append(part)
            if (here := "/".join(done)) not in self.links:
                continue
            text = self.target(here)
            followed += 1
            if text is None or followed > FOLLOWED:
                return None
            done.pop()
            if text.startswith("/"):
                if not f"{text}/".startswith(f"{WORKSPACE}/"):
                    return None
                done, text = [], text[len(WORKSPACE) :]
            waiting += text.split("/")[::-1]
        return "/".join(done)


@contextmanager
def tree_of(git_dir: Path, alternates: tuple[Path, ...], commit: str) -> Iterator[Tree]:
    """The tree of a commit, whose links can be followed within the block.

    Raises:
        GitError: It can't be read.
    """
    tops: set[str] = set()
    links: dict[str, str] = {}
    listing = ("ls-tree", "-r", "-z", commit)
    with closed.records(git_dir, *listing, end=b"\0", alternates=alternates) as rows:
        for row in rows:
            head, _, name = row.partition(b"\t")
            path = name.decode(errors="surrogateescape")
            tops.add(path.partition("/")[0])
            if row.startswith(SYMLINK.encode()):
                links[path] = head.split(b" ")[2].decode("ascii")
    with _reading(git_dir, alternates, links) as target:
        yield Tree(frozenset(tops), frozenset(links), target)


@contextmanager
def _reading(
    git_dir: Path, alternates: tuple[Path, ...], links: Mapping[str, str]
) -> Iterator[Callable[[str], str | None]]:
    if not links:
        yield lambda _: None
        return
    with reading(git_dir, alternates) as objects:
        yield lru_cache(maxsize=None)(lambda path: _text(objects, links[path]))


def _text(objects: Objects, oid: str) -> str | None:
    try:
        if objects.size(oid) > LONGEST_TARGET:
            return None
        return objects.body(oid, LONGEST_TARGET).decode(errors="surrogateescape")
    except Refused as fault:
        raise GitError("cat-file", 1, str(fault)) from fault
