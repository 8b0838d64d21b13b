"""A user's repository and a quarantine for it: what tests of the ingest share."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from runner.gather.quarantine import Quarantine, take_in
from runner.git.base_store import BaseStore, base_store
from tests.support import git, host_git_hashes, make_repo
from tests.unit.packs import Objects, work

FILE, TREE = "100644", "40000"


@dataclass(frozen=True)
class Host:
    """A user's repository, the base store of its `main`, and a commit on a branch no box was given."""

    repo: Path
    base: BaseStore
    secret: str
    place: Path

    @classmethod
    def at(cls, folder: Path) -> Host:
        """One of two files."""
        repo = make_repo(folder / "repo", {"a.txt": "one\n", "dir/b.txt": "two\n" * 200})
        commit = git(repo, "rev-parse", "HEAD")
        git(repo, "checkout", "-q", "-b", "secret")
        (repo / "secret.txt").write_text("s3cret\n")
        git(repo, "add", "--all")
        git(repo, "commit", "-qm", "secret")
        secret = git(repo, "rev-parse", "HEAD")
        git(repo, "checkout", "-q", "main")
        return cls(repo, base_store(folder / "bases", repo / ".git", commit), secret, folder / "q")

    @property
    def commit(self) -> str:
        """The base."""
        return self.base.commit

    def take_in(self, tip: str, pack: bytes) -> Quarantine:
        """What the quarantine makes of bytes that a gather container printed."""
        shutil.rmtree(self.place, ignore_errors=True)
        return take_in(self.place / "git", work(tip, pack, self.place / "pack"), self.base)

    def good(self) -> tuple[str, bytes]:
        """The tip and the pack of honest work."""
        objects = Objects()
        inner = objects.tree((FILE, b"new.txt", objects.blob(b"new\n" * 300)))
        tip = objects.commit(
            objects.tree((FILE, b"a.txt", objects.blob(b"more\n")), (TREE, b"d", inner)), self.commit
        )
        return tip, objects.pack()

    def looks(self) -> tuple[dict[str, str], str]:
        """All of the repository that may not change, objects included."""
        return host_git_hashes(self.repo), git(self.repo, "count-objects", "-v")
