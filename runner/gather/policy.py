"""What a gathered commit may hold: one pure, memoised walk over its trees.

Git's own checks accept trees that kill the next `git diff` (a kilobyte that expands to billions of
entries, directories nested twenty thousand deep). So before any other git command looks at a gathered
commit, this walk bounds what it can expand to. Each distinct tree is read once, whatever it expands to.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

MIB = 1024**2

FILE, PROGRAM, SYMLINK, TREE, SUBMODULE = "100644", "100755", "120000", "40000", "160000"
MODES = {FILE, PROGRAM, SYMLINK, TREE, SUBMODULE}


class Refused(Exception):  # noqa: N818 - it is a finding, not a fault
    """The work breaks the policy; the message says how, with names made safe to show."""


@dataclass(frozen=True)
class Policy:
    """The bounds on work. The source of the figures is the threat model's test packs.

    `tree_object` and `commit_object` bound single objects, which are read into memory: half a million
    entries with names of common length, and a message of a megabyte.
    """

    depth: int = 64
    path: int = 1024
    entries: int = 500_000
    blob: int = 50 * MIB
    total: int = 1024 * MIB
    commits: int = 1000
    parents: int = 8
    tree_object: int = 32 * MIB
    commit_object: int = MIB


@dataclass(frozen=True)
class Shape:
    """What a tree expands to: entries, levels, and the longest path below it in bytes."""

    entries: int
    depth: int
    path: int


@dataclass
class TreeWalk:
    """Walks trees, remembering each: `read` gives the raw bytes of a tree object by its id."""

    read: Callable[[str], bytes]
    policy: Policy = field(default_factory=Policy)
    _known: dict[str, Shape] = field(default_factory=dict)

    def shape(self, tree: str) -> Shape:
        """What a tree expands to.

        Raises:
            Refused: It breaks a bound, or holds an entry that git would not have written.
        """
        pending: list[tuple[str, list[Entry] | None]] = [(tree, None)]
        above: set[str] = set()
        while pending:
            oid, entries = pending.pop()
            if entries is not None:
                self._known[oid] = self._sum(entries)
                above.discard(oid)
            elif oid not in self._known:
                above.add(oid)
                if len(above) > self.policy.depth:
                    raise Refused(f"directories nested more than {self.policy.depth} deep")
                entries = parse_tree(self.read(oid))
                pending.append((oid, entries))
                pending.extend((entry.oid, None) for entry in entries if entry.mode == TREE)
        return self._known[tree]

    def _sum(self, entries: list[Entry]) -> Shape:
        count, depth, longest = len(entries), 1, 0
        for entry in entries:
            child = self._known[entry.oid] if entry.mode == TREE else Shape(0, 0, 0)
            count += child.entries
            depth = max(depth, child.depth + 1)
            longest = max(longest, len(entry.name) + (child.path + 1 if entry.mode == TREE else 0))
        if count > self.policy.entries:
            raise Refused(f"more than {self.policy.entries} files")
        if depth > self.policy.depth:
            raise Refused(f"directories nested more than {self.policy.depth} deep")
        if longest > self.policy.path:
            raise Refused(f"a path longer than {self.policy.path} bytes")
        return Shape(count, depth, longest)


@dataclass(frozen=True)
class Entry:
    """One entry of a raw tree object."""

    mode: str
    name: bytes
    oid: str


def parse_tree(raw: bytes) -> list[Entry]:
    """The entries of a raw tree object: `MODE NAME\\0` and twenty bytes of id, again and again.

    Raises:
        Refused: It is malformed, or an entry has a mode or a name that git does not write.
    """
    entries, at = [], 0
    while at < len(raw):
        end = raw.find(b"\0", at)
        mode, _, name = raw[at:end].partition(b" ")
        if end < 0 or len(raw) < end + 21 or not name:
            raise Refused("a malformed tree")
        text = mode.decode("ascii", errors="replace")
        if text not in MODES:
            raise Refused(f"a file mode that git does not use: {text!a}")
        if name in {b".", b".."} or b"/" in name or name.lower() == b".git":
            raise Refused(f"a forbidden file name: {ascii(name.decode(errors='replace'))[:80]}")
        entries.append(Entry(text, name, raw[end + 1 : end + 21].hex()))
        at = end + 21
    return entries
