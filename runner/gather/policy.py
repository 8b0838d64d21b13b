"""What a gathered commit may hold: one pure, memoised walk over its trees.

Git's own checks accept trees that kill the next `git diff` (a kilobyte that expands to billions of
entries, directories nested twenty thousand deep). So before any other git command looks at a gathered
commit, this walk bounds what it can expand to. Each distinct tree is read once, whatever it expands to.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from stat import S_IFMT, S_ISDIR, S_ISLNK, S_ISREG, S_IXUSR
from typing import NamedTuple

MIB = 1024**2

FILE, PROGRAM, SYMLINK, TREE, SUBMODULE = "100644", "100755", "120000", "40000", "160000"
MODES = {mode.encode(): mode for mode in (FILE, PROGRAM, SYMLINK, TREE, SUBMODULE)}
_FORBIDDEN = {b".", b".."}
BASE = 8
"""How many times as large as work on it a base may be before it can't be looked at."""


class Refused(Exception):  # noqa: N818 - it is a finding, not a fault
    """The work breaks the policy; the message says how, with names made safe to show."""


@dataclass(frozen=True)
class Policy:
    """The bounds on work. The source of the figures is the threat model's test packs.

    `name` is Linux's NAME_MAX: a longer name can't be checked out. `tree_object` and `commit_object`
    bound single objects, which are read into memory: half a million entries with names of common length,
    and a message of a megabyte. `trees` bounds how many different trees are remembered, and `walked` how
    many entries are read in all of them: more than a thousand commits to a large repository need, and
    some seconds of work.
    """

    depth: int = 64
    path: int = 1024
    name: int = 255
    entries: int = 500_000
    trees: int = 200_000
    walked: int = 10_000_000
    blob: int = 50 * MIB
    total: int = 1024 * MIB
    commits: int = 1000
    parents: int = 8
    tree_object: int = 32 * MIB
    commit_object: int = MIB

    def wider(self, times: int) -> Policy:
        """Bounds on whole trees so many times as wide; those on single objects and names are the same."""
        return replace(
            self,
            depth=times * self.depth,
            path=times * self.path,
            entries=times * self.entries,
            trees=times * self.trees,
            walked=times * self.walked,
        )


class Shape(NamedTuple):
    """What a tree expands to: entries, levels, and the longest path below it in bytes."""

    entries: int
    depth: int
    path: int


@dataclass
class _Level:
    """A tree that is being walked: what is known of it, and the directories still to be added."""

    oid: bytes
    entries: int
    path: int
    directories: list[tuple[bytes, int]]
    depth: int = 1
    own: int = field(init=False)

    def __post_init__(self) -> None:
        self.own = self.entries

    def add(self, name: int, below: Shape) -> None:
        """Count what lies in a directory whose name has so many bytes."""
        self.entries += below.entries
        self.depth = max(self.depth, below.depth + 1)
        self.path = max(self.path, name + 1 + below.path)


@dataclass
class TreeWalk:
    """Walks trees, remembering each: `read` gives the raw bytes of a tree object by its id.

    Old tools wrote what git no longer writes, and a base may be full of it. So a tree for which `is_given`
    says that it is part of the history that the box was given is read as git reads it, not judged.

    What is held in memory is bounded: of the trees on the way down nothing but their directories, which
    together are no more than the entries of one whole tree may be; of trees done with, three numbers.
    """

    read: Callable[[str], bytes]
    policy: Policy = field(default_factory=Policy)
    is_given: Callable[[str], bool] = lambda _: False
    modules: set[bytes] = field(default_factory=set)
    """The ids of all files called `.gitmodules` that were met, at whatever depth and in whatever case."""
    _known: dict[bytes, Shape] = field(default_factory=dict)
    _walked: int = 0

    def begin_with(self, tree: str) -> None:
        """Walk the base's tree, which the work is not to answer for: what is bounded is what it adds.

        Raises:
            Refused: The base is so large that no work on it could be looked at within bounds.
        """
        policy = self.policy
        self.policy = policy.wider(BASE)
        try:
            base = self.shape(tree)
        except Refused as large:
            raise Refused(f"its base has {large}") from large
        self.policy = replace(
            policy,
            depth=max(policy.depth, 2 * base.depth),
            path=max(policy.path, 2 * base.path),
            entries=max(policy.entries, 2 * base.entries),
            trees=policy.trees + len(self._known),
            walked=policy.walked + self._walked,
        )
        self.modules.clear()

    def shape(self, tree: str) -> Shape:
        """What a tree expands to.

        Raises:
            Refused: It breaks a bound, or holds an entry that git would not have written.
        """
        root = bytes.fromhex(tree)
        levels = [] if root in self._known else [self._enter(root, held=0)]
        held = sum(level.own for level in levels)
        while levels:
            level = levels[-1]
            if not level.directories:
                self._known[level.oid] = self._within_bounds(level)
                held -= level.own
                levels.pop()
                continue
            oid, name = level.directories[-1]
            if oid in self._known:
                level.directories.pop()
                level.add(name, self._known[oid])
                self._within_bounds(level)
            else:
                levels.append(self._enter(oid, held))
                held += levels[-1].own
                if len(levels) > self.policy.depth:
                    raise Refused(f"directories nested more than {self.policy.depth} deep")
        return self._known[root]

    def _enter(self, oid: bytes, held: int) -> _Level:
        """Read a tree; `held` is the sum of the entries of all trees above it."""
        if len(self._known) >= self.policy.trees:
            raise Refused(f"more than {self.policy.trees} different directories")
        entries, path, directories = 0, 0, []
        for entry in self._entries(oid.hex()):
            entries += 1
            path = max(path, len(entry.name))
            if len(entry.name) > self.policy.name:
                raise Refused(f"a file name longer than {self.policy.name} bytes")
            if b"modules" in entry.name.lower():
                self._note_modules(entry)
            if entry.mode == TREE:
                directories.append((entry.oid, len(entry.name)))
            if held + entries > self.policy.entries:  # it lies within all of them
                raise Refused(f"more than {self.policy.entries} files")
        self._walked += entries
        if self._walked > self.policy.walked:
            raise Refused(f"more than {self.policy.walked} entries in all versions of its directories")
        return _Level(oid, entries, path, directories)

    def _entries(self, tree: str) -> Iterator[Entry]:
        """The entries of a tree; each as it comes, for there may be far more than are allowed."""
        raw, told = self.read(tree), 0
        try:
            for entry in parse_tree(raw):
                yield entry
                told += 1
        except Refused:
            if not self.is_given(tree):
                raise
            yield from islice(parse_tree(raw, as_git_reads=True), told, None)

    def _note_modules(self, entry: Entry) -> None:
        if entry.name.lower().startswith(b".gitmodules"):
            self.modules.add(entry.oid)
        if len(self.modules) > self.policy.commits:
            raise Refused(f"more than {self.policy.commits} versions of .gitmodules")

    def _within_bounds(self, level: _Level) -> Shape:
        if level.entries > self.policy.entries:
            raise Refused(f"more than {self.policy.entries} files")
        if level.depth > self.policy.depth:
            raise Refused(f"directories nested more than {self.policy.depth} deep")
        if level.path > self.policy.path:
            raise Refused(f"a path longer than {self.policy.path} bytes")
        return Shape(level.entries, level.depth, level.path)


def plain_modules(content: bytes) -> None:
    """See that a `.gitmodules` is not one that git writes differently from how it reads it.

    A carriage return that ends no line is lost when git writes the path back, which then names another
    place (CVE-2025-48384). Git's own check of such files does not look for it.

    Raises:
        Refused: It is.
    """
    if b"\r" in content.replace(b"\r\n", b"\n"):
        raise Refused("a .gitmodules with a carriage return within a line")


class Entry(NamedTuple):
    """One entry of a raw tree object; the id is its twenty bytes."""

    mode: str
    name: bytes
    oid: bytes


_ENTRY = re.compile(rb"([^ \0]+) ([^\0]+)\0(.{20})", re.DOTALL)


def parse_tree(raw: bytes, *, as_git_reads: bool = False) -> Iterator[Entry]:
    """The entries of a raw tree object: `MODE NAME\\0` and twenty bytes of id, again and again.

    Args:
        raw: The tree.
        as_git_reads: Take whatever modes and names git reads in old trees, for what it takes them.

    Raises:
        Refused: While reading: it is malformed, or an entry has a mode or a name that git does not write.
    """
    at = 0
    while at < len(raw):
        found = _ENTRY.match(raw, at)
        if found is None:
            raise Refused("a malformed tree")
        mode, name, oid = found.groups()
        text = _mode_read(mode) if as_git_reads else MODES.get(mode)
        if text is None:
            raise Refused(f"a file mode that git does not use: {mode.decode(errors='replace')[:80]!a}")
        odd = name in _FORBIDDEN or b"/" in name or name.lower() == b".git"
        if odd and not as_git_reads:
            raise Refused(f"a forbidden file name: {ascii(name.decode(errors='replace'))[:80]}")
        yield Entry(text, name, oid)
        at = found.end()


def _mode_read(mode: bytes) -> str | None:
    """What git takes a mode for when it reads it (`canon_mode` in its cache.h); None if it is no number."""
    if re.fullmatch(rb"[0-7]{1,7}", mode) is None:
        return None
    number = S_IFMT(bits := int(mode, 8))
    if S_ISREG(number):
        return PROGRAM if bits & S_IXUSR else FILE
    if S_ISLNK(number):
        return SYMLINK
    return TREE if S_ISDIR(number) else SUBMODULE
