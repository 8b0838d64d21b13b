"""By which other names files are known: a link `scripts -> tools` makes `tools/run` `scripts/run`, too."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from posixpath import dirname, join, normpath

from runner.gather.objects import Objects, reading
from runner.gather.policy import SYMLINK, Refused
from runner.git import closed
from runner.git.closed import GitError

MOST = 10_000
"""Links that are read, and names that one file is known by at most."""
MOST_NAMES = 64
LONGEST_TARGET = 4096
"""Linux's PATH_MAX: no link can be longer."""


@dataclass(frozen=True)
class Links:
    """Links by where they lead: to a path of the tree, as bytes, from the top."""

    by_target: dict[bytes, list[bytes]] = field(default_factory=dict)

    def names(self, path: bytes) -> Iterator[bytes]:
        """A path, and all others by which links lead to it, one link through another."""
        if not self.by_target:
            yield path
            return
        seen, waiting = {path}, [path]
        while waiting and len(seen) < MOST_NAMES:
            name = waiting.pop()
            yield name
            fresh = {other for other in self._one_step(name) if other not in seen}
            seen |= fresh
            waiting += sorted(fresh)
        yield from waiting

    def _one_step(self, path: bytes) -> Iterator[bytes]:
        yield from (link + b"/" + path for link in self.by_target.get(b".", ()))
        end = len(path)
        while end > 0:
            yield from (link + path[end:] for link in self.by_target.get(path[:end], ()))
            end = path.rfind(b"/", 0, end)


def links_of(git_dir: Path, alternates: tuple[Path, ...], commit: str) -> Links:
    """The links of a commit's tree that lead to what it holds.

    Raises:
        GitError: The tree, or a link of it, can't be read.
    """
    listing = ("ls-tree", "-r", "-z", commit)
    found: list[tuple[bytes, str]] = []
    with closed.records(git_dir, *listing, end=b"\0", alternates=alternates) as rows:
        for row in rows:
            if row.startswith(SYMLINK.encode()) and len(found) < MOST:
                head, _, path = row.partition(b"\t")
                found.append((path, head.split(b" ")[2].decode("ascii")))
    if not found:
        return Links()
    try:
        with reading(git_dir, alternates) as objects:
            return _read(found, objects)
    except Refused as fault:
        raise GitError("cat-file", 1, str(fault)) from fault


def _read(found: list[tuple[bytes, str]], objects: Objects) -> Links:
    links = Links()
    for path, oid in found:
        if objects.size(oid) <= LONGEST_TARGET:
            target = led_to(path, objects.body(oid, LONGEST_TARGET))
            links.by_target.setdefault(target, []).append(path)
    return links


def led_to(path: bytes, target: bytes) -> bytes:
    """Where a link leads, from the top of the tree, which in a box is `/workspace`."""
    inside = re.sub(rb"^/workspace(/|$)", b"", target)
    return normpath(inside if inside != target else join(dirname(path), target))
