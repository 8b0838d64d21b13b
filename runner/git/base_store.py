"""The base store: a bare repository that holds the history of one base commit and nothing else.

It is what boxes, the quarantine and builds see of the user's repository: no other branch, no later
commit, no configuration. One store serves all attempts that start from the commit; it is made once,
under a lock, and appears whole or not at all.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from runner.git import closed
from runner.locks import locked

_PLAIN_EXPORT = "* -export-ignore -export-subst\n"
"""An export holds every file as it is committed, whatever the repository's own attributes say."""


@dataclass(frozen=True)
class TreeEntry:
    """One file of a commit. `path` is bytes: git does not know encodings."""

    mode: str
    kind: str
    oid: str
    path: bytes


@dataclass(frozen=True)
class BaseStore:
    """The store of `commit` at `path`."""

    path: Path
    commit: str

    @property
    def objects(self) -> Path:
        """Its object directory."""
        return self.path / "objects"

    @property
    def shallow(self) -> str:
        """The boundary commits of a shallow history, one a line; empty for a whole one."""
        file = self.path / "shallow"
        return file.read_text() if file.exists() else ""

    def tree(self) -> list[TreeEntry]:
        """Every file of the commit."""
        rows = closed.git(self.path, "ls-tree", "-r", "-z", "--full-tree", self.commit).split(b"\0")
        return [_entry(row) for row in rows if row]

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


def base_store(bases: Path, git_dir: Path, commit: str) -> BaseStore:
    """The store of a commit, made from the user's repository where it doesn't exist yet.

    Args:
        bases: The directory that holds all base stores.
        git_dir: The user's git directory; only read.
        commit: The commit, 40 hex digits.

    Raises:
        GitError: The history can't be read whole.
    """
    store = BaseStore(bases / f"{commit}.git", commit)
    with locked(bases / f"{commit}.lock"):
        if not store.path.exists():
            _make(store, git_dir)
    return store


def _make(store: BaseStore, git_dir: Path) -> None:
    unfinished = f".new-{store.commit}-"
    for left in store.path.parent.glob(f"{unfinished}*"):  # by a process that was killed: we hold the lock
        shutil.rmtree(left)
    fresh = Path(tempfile.mkdtemp(prefix=unfinished, dir=store.path.parent))
    try:
        closed.init_bare(fresh)
        boundary = git_dir / "shallow"
        if boundary.exists():
            (fresh / "shallow").write_bytes(boundary.read_bytes())
        closed.pipe(
            (
                git_dir,
                ("pack-objects", "-q", "--revs", "--stdout", "--delta-base-offset"),
                f"{store.commit}\n".encode(),
            ),
            (fresh, ("index-pack", "--stdin")),
            closed.WHOLE_HISTORY,
        )
        (fresh / "info").mkdir(exist_ok=True)
        (fresh / "info" / "attributes").write_text(_PLAIN_EXPORT)
        _open_to_read(fresh)
        fresh.rename(store.path)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise


def _open_to_read(top: Path) -> None:
    """Let the boxes' uid read the store through its mount, whatever the umask was."""
    for folder, _, files in os.walk(top):
        Path(folder).chmod(0o755)
        for name in files:
            (Path(folder) / name).chmod(0o444 if name.startswith("pack-") else 0o644)


def _entry(row: bytes) -> TreeEntry:
    head, _, path = row.partition(b"\t")
    mode, kind, oid = head.decode().split()
    return TreeEntry(mode, kind, oid, path)
