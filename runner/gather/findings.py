"""What a person should know of checked work: how much it changes, and what in it acts or leads elsewhere.

Everything is read as it comes and told within bounds: of each kind the first few by name, the rest as
a number.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from runner.gather import tampering
from runner.gather.active import SCRIPTS, active, acts, is_partly_active
from runner.gather.objects import Objects, reading
from runner.gather.policy import SUBMODULE, SYMLINK, Refused
from runner.gather.steering import Steering
from runner.gather.tree import LONGEST_TARGET, tree_of
from runner.git import closed
from runner.git.closed import GitError
from runner.git.putting_back import put_back

SHOWN = 20
"""Names told of each kind."""
NAME = 200
"""Signs shown of one name."""
LINKS_READ = 10_000
"""Links whose targets are looked at."""
PARTS_READ = 1000
"""Files such as package.json that are compared with what they were."""
STEPS = 64
"""Steps down in one target before one up that are looked at."""
LARGEST_PART = 1024**2

_LINK = "symlinks that lead out of the tree"
_UNREAD = "symlinks that were not looked at"
_MODULE = "submodule entries"
_WORDS = {
    _LINK: ("symlink {} leads out of the tree", _LINK),
    _UNREAD: ("symlink {}: one of too many to look at where it leads", _UNREAD),
    _MODULE: ("submodule entry {}: its files are not in the branch", _MODULE),
}
EXECUTABLE = "100755"
NOTHING = "0" * 40
"""What git calls a file that is not there."""


@dataclass(frozen=True)
class Change:
    """How a commit differs from its base; None where the difference is too large to count."""

    files: int | None
    insertions: int | None
    deletions: int | None


@dataclass(frozen=True)
class Between:
    """Two commits of a repository, the second of them gathered and checked."""

    git_dir: Path
    alternates: tuple[Path, ...]
    base: str
    tip: str

    def change(self) -> Change:
        """Files, inserted and deleted lines."""
        files = insertions = deletions = 0
        try:
            with self._rows("--numstat", "--no-ext-diff", "--no-textconv") as rows:
                for row in rows:
                    more, less, _ = row.split(b"\t", 2)
                    files += 1
                    insertions += int(more) if more.isdigit() else 0
                    deletions += int(less) if less.isdigit() else 0
        except GitError:
            return Change(None, None, None)
        return Change(files, insertions, deletions)

    def touches(self, path: str | None = None) -> bool:
        """Whether anything differs, at or below a path or anywhere, as git reads what old tools wrote."""
        where = () if path is None else ("--", f":(literal){path}")
        compare = ("diff-tree", "-r", "--quiet", "--no-renames", self.base, self.tip, *where)
        return not closed.succeeds(self.git_dir, *compare, alternates=self.alternates)

    def outside(self, paths: tuple[str, ...]) -> tuple[str, ...]:
        """A flag for what differs at none of these paths nor below one; none where all of it does."""
        where = ("--", ".", *(f":(exclude,literal){path}" for path in paths))
        told, count = [], 0
        try:
            with self._rows("--name-only", after=where) as rows:
                for path in rows:
                    count += 1
                    told += [_shortened(path)] if count <= SHOWN else []
        except GitError as fault:
            return (f"outside-paths: what it changed could not be looked at: {str(fault)[:200]!a}",)
        more = f" and {count - SHOWN} more" if count > SHOWN else ""
        return (f"outside-paths: it changed {', '.join(told)}{more}, outside of `paths`",) if count else ()

    def steering(self, commands: tuple[str, ...]) -> tuple[str, ...]:
        """Files that differ and that steer what checks do, or are run by one of these commands (`Steering`).

        Raises:
            GitError: The commits can't be compared, or links of the first can't be read.
        """
        if self.base == self.tip:
            return ()
        found = []
        with tree_of(self.git_dir, self.alternates, self.base) as tree:
            steering = Steering.of(commands, tree)
        with self._rows() as rows:
            while pair := tuple(islice(rows, 2)):
                entry = _entry(*pair)
                path = entry.path.decode(errors="surrogateescape")
                if steering.counts(
                    path,
                    is_new=entry.before == NOTHING,
                    is_program=EXECUTABLE in {entry.mode, entry.mode_before},
                    is_link=entry.mode == SYMLINK,
                    was_link=entry.mode_before == SYMLINK,
                ):
                    found.append(path)
        return tuple(found)

    def without(self, files: Collection[str], *, alone: bool = False) -> str:
        """A commit like the second one, but with these files as the first has them (`put_back`)."""
        paths = {file.encode(errors="surrogateescape") for file in files}
        made = put_back(self.git_dir, self.alternates, self.base, self.tip, paths, alone=alone)
        closed.open_to_read(self.git_dir)
        return made

    def altered(self) -> tuple[str, ...]:
        """Files of the first that the second has otherwise, or not at all."""
        with self._rows("--name-only", "--diff-filter=DMT") as rows:
            return tuple(path.decode(errors="surrogateescape") for path in rows)

    def among(self, paths: Collection[str]) -> tuple[str, ...]:
        """Those of these files that differ, the first few."""
        wanted = {os.fsencode(path) for path in paths}
        with self._rows("--name-only") as rows:
            return tuple(islice((_shortened(path) for path in rows if path in wanted), SHOWN))

    def signs(self, check: str | None, protect: tuple[str, ...]) -> tuple[tampering.Sign, ...] | None:
        """What in it touches the judgement on it; None if it can't be read.

        Args:
            check: The task's check.
            protect: Paths that the check sees as in the base.
        """
        form = ("--patch", "--unified=30", "--no-ext-diff", "--no-textconv", "--no-renames", "--no-color")
        command = ("diff-tree", "-r", *form, self.base, self.tip)
        try:
            with closed.records(
                self.git_dir, *command, longest=LARGEST_PART, alternates=self.alternates
            ) as rows:
                return tampering.signs(rows, check, protect)
        except GitError:
            return None

    def flags(self) -> tuple[str, ...]:
        """Links that leave the tree, submodules, and files that act on whoever meets them."""
        told = _Told()
        try:
            with reading(self.git_dir, self.alternates) as objects, self._rows("--diff-filter=AMT") as rows:
                look = _Look(objects, self.tip, told)
                while pair := tuple(islice(rows, 2)):
                    look.at(_entry(*pair))
        except (GitError, Refused) as fault:
            return (*told.flags(), f"its files could not all be looked at: {str(fault)[:200]!a}")
        return tuple(told.flags())

    def _rows(self, *arguments: str, after: tuple[str, ...] = ()) -> AbstractContextManager[Iterator[bytes]]:
        command = ("diff-tree", "-r", "-z", "--no-renames", *arguments, self.base, self.tip, *after)
        return closed.records(self.git_dir, *command, end=b"\0", alternates=self.alternates)


@dataclass(frozen=True)
class _Entry:
    """A file that was added or changed, or became something of another type."""

    path: bytes
    mode_before: str
    mode: str
    before: str
    after: str


def _entry(head: bytes, path: bytes) -> _Entry:
    mode_before, mode, before, after, _ = head.decode("ascii").removeprefix(":").split(" ")
    return _Entry(path, mode_before, mode, before, after)


def _shortened(path: bytes) -> str:
    name = ascii(path.decode(errors="replace"))
    return name if len(name) <= NAME else f"{name[: NAME // 2]}…{name[-NAME // 2 :]}"


@dataclass
class _Told:
    """What was found, by kind: the first names, and how many there are."""

    names: dict[str, list[str]] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)

    def add(self, kind: str, path: bytes) -> None:
        """Note one more of a kind."""
        self.counts[kind] += 1
        if self.counts[kind] <= SHOWN:
            self.names.setdefault(kind, []).append(_shortened(path))

    def flags(self) -> Iterator[str]:
        """All of it in words, the rest of each kind as a number."""
        for kind, names in self.names.items():
            one, many = _WORDS.get(kind) or (f"active file {{}}: {kind}", f"active files: {kind}")
            yield from (one.format(name) for name in names)
            if self.counts[kind] > SHOWN:
                yield f"{self.counts[kind] - SHOWN} more {many}"


@dataclass
class _Look:
    """Looks at entries one by one."""

    objects: Objects
    tip: str
    told: _Told
    links: int = 0
    parts: int = 0

    def at(self, entry: _Entry) -> None:
        """Note what is to be told of an entry."""
        if entry.mode == SUBMODULE:
            self.told.add(_MODULE, entry.path)
        elif entry.mode == SYMLINK:
            self._link(entry)
        kind = active(entry.path)
        if kind is None and is_partly_active(entry.path) and self._acts_anew(entry):
            kind = SCRIPTS
        if kind is not None:
            self.told.add(kind, entry.path)

    def _link(self, entry: _Entry) -> None:
        self.links += 1
        if self.links > LINKS_READ:
            self.told.add(_UNREAD, entry.path)
        elif leaves(entry.path, self._content(entry.after, LONGEST_TARGET), self._is_file):
            self.told.add(_LINK, entry.path)

    def _is_file(self, path: bytes) -> bool:
        return self.objects.is_file(self.tip, path)

    def _acts_anew(self, entry: _Entry) -> bool:
        self.parts += 1
        if self.parts > PARTS_READ or entry.mode in {SYMLINK, SUBMODULE}:
            return True
        after = self._content(entry.after, LARGEST_PART)
        before = self._content(entry.before, LARGEST_PART)
        if after is None or before is None:
            return True
        name = entry.path.rpartition(b"/")[2]
        return acts(name, after) != acts(name, before)

    def _content(self, oid: str, largest: int) -> bytes | None:
        """The bytes of a file; none of one that is not there yet; None if it is too large to look at."""
        if oid == NOTHING:
            return b""
        return None if self.objects.size(oid) > largest else self.objects.body(oid, largest)


def leaves(path: bytes, target: bytes | None, is_file: Callable[[bytes], bool]) -> bool:
    """Whether a link at that path may lead out of the tree.

    Reviewers may sit on Windows, where a backslash separates and a letter names a drive.

    Args:
        path: Where the link lies.
        target: Its text, or None if that is longer than any file system takes.
        is_file: Whether a file or a link lies at a path of the tree. Where the way up from the end of a
            link leads is not followed, and counts as out.
    """
    if target is None or re.match(rb"[A-Za-z]:|[/\\]", target):
        return True
    here, names, asked = path.split(b"/")[:-1], re.split(rb"[/\\]", target), 0
    ways_up = names.count(b"..")
    for name in names:
        if name == b"..":
            ways_up -= 1
            if not here:
                return True
            here.pop()
        elif name not in {b"", b"."}:
            here.append(name)
            asked += ways_up > 0
            if asked > STEPS or (ways_up and is_file(b"/".join(here))):
                return True
    return False
