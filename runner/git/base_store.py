"""The base store: a bare repository that holds what attempts may see of one commit's history.

It is what boxes, the quarantine and builds see of the user's repository: no other branch, no later
commit, no configuration. How much of the history before the commit it holds is the user's choice: all of
it (`full`); the commit alone, as in a shallow clone (`shallow`); or its files alone (`none`), in a commit
without parents that stands for the user's own and says nothing of it. One store serves all attempts that
start from the commit; it is made once, under a lock, and appears whole or not at all.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

from runner.git import closed
from runner.git.commits import oid_of, standing_for
from runner.locks import locked

History = Literal["full", "shallow", "none"]

_PLAIN_EXPORT = "* -export-ignore -export-subst\n"
"""An export holds every file as it is committed, whatever the repository's own attributes say."""


EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
"""The id of a tree without files, which git knows without having it."""
PLAIN_MODES = frozenset({b"100644", b"100755", b"100664"})
"""Modes of files that are no links and no submodules; old tools wrote the last one."""


@dataclass(frozen=True)
class TreeEntry:
    """One file of a commit. `path` is bytes: git does not know encodings."""

    mode: str
    kind: str
    oid: str
    path: bytes


@dataclass(frozen=True)
class BaseStore:
    """The store at `path`.

    Attributes:
        path: The bare repository.
        commit: The commit that boxes are given and that their work must build on.
        original: The user's own commit, as raw bytes, where `commit` only stands for it.
    """

    path: Path
    commit: str
    original: bytes | None = None

    @property
    def origin(self) -> str:
        """The user's commit, on which branches build: `commit`, or what that stands for."""
        return self.commit if self.original is None else oid_of("commit", self.original)

    @property
    def objects(self) -> Path:
        """Its object directory."""
        return self.path / "objects"

    @property
    def shallow(self) -> str:
        """The boundary commits of a shallow history, one a line; empty for a whole one."""
        file = self.path / "shallow"
        return file.read_text() if file.exists() else ""

    def holds(self, oid: str) -> bool:
        """Whether an object is part of what boxes are given."""
        return closed.succeeds(self.path, "cat-file", "-e", oid)

    def has(self, path: str) -> bool:
        """Whether the commit has a file or a directory at a path (`.` for the root)."""
        name = path.strip("/")
        spec = f"{self.commit}:{'' if name == '.' else name}"
        return closed.succeeds(self.path, "rev-parse", "--verify", "--quiet", spec)

    def ever_had(self, *paths: str) -> str | None:
        """A file at one of these paths, or below one, that the history of the commit has had; None for none.

        It is of the latest commit that touched one of them; the history is gone through once for all paths.
        """
        meant = (f":(literal){path}" for path in paths)
        touching = ("log", "-1", "-m", "--full-history", "--no-renames", "--name-only", "--format=", "-z")
        named = closed.git(self.path, *touching, self.commit, "--", *meant, bounds=closed.WHOLE_HISTORY)
        return os.fsdecode(named.split(b"\0")[0]) or None

    def existing(self, oids: Iterable[str]) -> set[str]:
        """Those objects that the repository has, whether or not they are of the commit's history."""
        asked = "".join(f"{oid}\n" for oid in oids).encode()
        rows = closed.git(self.path, "cat-file", "--batch-check", stdin=asked).decode().splitlines()
        return {oid for oid, kind, *_ in map(str.split, rows) if kind != "missing"}

    def reached(self, oids: Collection[str]) -> dict[str, bytes]:
        """Those of some objects that the commit's history holds, and a path that each has there.

        It goes through the history, object by object: half a second for 20,000 commits with 240,000 objects.
        """
        found: dict[str, bytes] = {}
        listing = ("rev-list", "--objects", self.commit)
        with closed.records(self.path, *listing, bounds=closed.WHOLE_HISTORY) as rows:
            for row in rows:
                oid, _, path = row.partition(b" ")
                if oid.decode() in oids:
                    found[oid.decode()] = path
                if len(found) == len(oids):
                    break
        return found

    def tree(self) -> list[TreeEntry]:
        """Every file of the commit."""
        rows = closed.git(
            self.path, "ls-tree", "-r", "-z", "--full-tree", self.commit, bounds=closed.WHOLE_HISTORY
        ).split(b"\0")
        return [_entry(row) for row in rows if row]

    def matching(self, patterns: Iterable[str]) -> list[bytes]:
        """The paths of the commit's plain files that these patterns mean, in git's order.

        Git's own words for patterns count (`git help glossary`, pathspec, `glob`): `*` and `?` stay within a
        directory, `**/` goes through any number of them. A pattern after `!` leaves files out.
        """
        specs = [f":(exclude,glob){one[1:]}" if one.startswith("!") else f":(glob){one}" for one in patterns]
        listing = ("diff-tree", "-r", "-z", "--no-renames", EMPTY_TREE, self.commit, "--", *specs)
        rows = iter(closed.git(self.path, *listing, bounds=closed.WHOLE_HISTORY).split(b"\0"))
        return [path for head, path in zip(rows, rows, strict=False) if head.split()[1] in PLAIN_MODES]

    def tree_id(self, path: str) -> str | None:
        """The id of the tree at a directory path (`.` for the root), or None if there is none."""
        name = path.strip("/")
        spec = f"{self.commit}^{{tree}}" if name in {"", "."} else f"{self.commit}:{name}"
        try:
            oid = closed.git(self.path, "rev-parse", "--verify", "--quiet", spec).decode().strip()
        except closed.GitError:
            return None
        return oid if closed.git(self.path, "cat-file", "-t", oid).strip() == b"tree" else None

    def read(self, path: str) -> bytes | None:
        """The bytes of a regular file of the commit, or None if there is no such file."""
        try:
            return closed.git(self.path, "cat-file", "blob", f"{self.commit}:{path}")
        except closed.GitError:
            return None

    @contextmanager
    def export(self, path: str = ".") -> Iterator[IO[bytes]]:
        """An uncompressed tar stream of the commit's files below a directory."""
        name = path.strip("/")
        tree = f"{self.commit}^{{tree}}" if name in {"", "."} else f"{self.commit}:{name}"
        with closed.streaming(
            self.path, "archive", "--format=tar", tree, bounds=closed.WHOLE_HISTORY
        ) as process:
            if process.stdout is None:
                raise AssertionError("standard output is a pipe")
            yield process.stdout


def base_store(bases: Path, git_dir: Path, commit: str, history: History = "full") -> BaseStore:
    """The store of a commit, made from the user's repository where it doesn't exist yet.

    Args:
        bases: The directory that holds all base stores.
        git_dir: The user's git directory; only read.
        commit: The commit, 40 hex digits.
        history: How much of the history before the commit it holds.

    Raises:
        GitError: The history can't be read whole.
    """
    original = stand_in = None
    if history == "none":
        original = closed.git(git_dir, "cat-file", "commit", commit)
        stand_in = standing_for(original)
    given = commit if stand_in is None else oid_of("commit", stand_in)
    name = given if history == "full" else f"{given}-{history}"  # a box can read it in its table of mounts
    store = BaseStore(bases / f"{name}.git", given, original)
    with locked(bases / f"{name}.lock"):
        if not store.path.exists():
            with _appearing_whole(store.path) as fresh:
                _fill(fresh, git_dir, commit, history, stand_in)
    return store


@contextmanager
def _appearing_whole(path: Path) -> Iterator[Path]:
    """An empty repository that gets its name when all has been put into it."""
    unfinished = f".new-{path.name}-"
    for left in path.parent.glob(f"{unfinished}*"):  # by a process that was killed: we hold the lock
        shutil.rmtree(left)
    fresh = Path(tempfile.mkdtemp(prefix=unfinished, dir=path.parent))
    try:
        closed.init_bare(fresh)
        yield fresh
        closed.open_to_read(fresh)
        fresh.rename(path)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise


def _fill(fresh: Path, git_dir: Path, commit: str, history: History, stand_in: bytes | None) -> None:
    boundary = git_dir / "shallow"
    if history == "full":
        wanted = f"{commit}\n"
        if boundary.exists():
            (fresh / "shallow").write_bytes(boundary.read_bytes())
    elif history == "shallow":
        wanted = f"--shallow {commit}\n{commit}\n"
        (fresh / "shallow").write_text(f"{commit}\n")
    else:
        wanted = f"{commit}^{{tree}}\n"
    closed.pipe(
        (
            git_dir,
            ("pack-objects", "-q", "--revs", "--stdout", "--delta-base-offset"),
            wanted.encode(),
        ),
        (fresh, ("index-pack", "--stdin")),
        closed.WHOLE_HISTORY,
    )
    if stand_in is not None:
        closed.git(fresh, "hash-object", "-t", "commit", "-w", "--stdin", stdin=stand_in)
    (fresh / "info").mkdir(exist_ok=True)
    (fresh / "info" / "attributes").write_text(_PLAIN_EXPORT)


def _entry(row: bytes) -> TreeEntry:
    head, _, path = row.partition(b"\t")
    mode, kind, oid = head.decode().split()
    return TreeEntry(mode, kind, oid, path)
