"""Two commits merged in memory, in a quarantine of their own: nothing is checked out, and what comes of it
stays there until it is brought home.

The quarantine is a bare repository that borrows the objects of the user's. Its configuration is Corral's own
and its HEAD is unborn, so that no `.gitattributes` of a branch is read: merge drivers, which are programs,
have no way in. Where git can (`merge-tree --write-tree --stdin`, git 2.39) it merges as `git merge` does,
many pairs in one process. Older git (2.34 is the oldest that Corral runs with) merges by its index, without
following renames.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from runner.git import closed
from runner.git.base_store import PLAIN_MODES
from runner.git.closed import GitError
from runner.git.commits import oid_of

CHUNK = 128
"""Pairs merged by one process."""
AT_ONCE = 4
"""Processes at most, and not more than there are processors."""
MOST_FILES = 100
"""Names of files in conflict that are kept of one merge."""
LONGEST_NAME = 64 * 1024
"""Bytes: longer than any path that work may have."""
RENAMES = 1000
"""Files that went away, and others that came, up to which git looks for renames: it compares all with all."""

_CONFIGURATION = f"""
[core]
	sharedRepository = 0644
	looseCompression = 1
[merge]
	renameLimit = {RENAMES}
"""
"""A check's box reads the quarantine, as another user."""


@dataclass(frozen=True)
class Merge:
    """What git makes of two commits.

    Attributes:
        tree: The files that they come to together; None where they don't merge.
        files: The files in conflict, the first few.
        why: Why git could not be asked; empty if it could.
    """

    tree: str | None
    files: tuple[bytes, ...] = ()
    why: str = ""


@dataclass(frozen=True)
class Merging:
    """The quarantine.

    Attributes:
        path: The bare repository.
        borrowed: Object directories that it reads besides its own.
        whole: Whether this git merges as `git merge` does.
    """

    path: Path
    borrowed: tuple[Path, ...]
    whole: bool

    def make_whole(self, base: str, commit: str, known: Iterable[str] = ()) -> None:
        """See that the quarantine itself holds what a commit adds to a base, and the base commit.

        Git writes no object that it can borrow. Once this is done, the commit can be checked out with the
        base's files, which its base store holds, and without anything of the user's.

        Args:
            base: The base.
            commit: The commit.
            known: Other commits for which it was done.

        Raises:
            GitError: It can't be read or written.
        """
        since = "".join(f"{line}\n" for line in (commit, f"^{base}", *(f"^{one}" for one in known)))
        packing = ("pack-objects", "-q", "--stdout", "--delta-base-offset")
        for more, wanted in (("--revs",), since), ((), f"{base}\n"):
            source = (self.path, (*packing, *more), wanted.encode())
            closed.pipe(source, (self.path, ("index-pack", "--stdin")), closed.DEFAULT, self.borrowed)

    def merge(self, ours: str, theirs: str) -> Merge:
        """Merge one commit into another."""
        return self._chunk([(ours, theirs)])[0]

    def merge_all(self, pairs: Sequence[tuple[str, str]], until: float) -> list[Merge]:
        """Merge pairs of commits, each by itself; what is not begun `until` then (monotonic) is not asked."""
        chunks = [pairs[at : at + CHUNK] for at in range(0, len(pairs), CHUNK)]

        def do(chunk: Sequence[tuple[str, str]]) -> list[Merge]:
            if time.monotonic() > until:
                return [Merge(None, why="it took too long to ask of all of them")] * len(chunk)
            return self._chunk(chunk)

        workers = min(AT_ONCE, os.cpu_count() or 1) if self.whole else 1  # without, all share one index
        with ThreadPoolExecutor(workers) as pool:
            return [merge for merges in pool.map(do, chunks) for merge in merges]

    def write_commit(self, tree: str, parents: Sequence[str], when: int, message: str) -> str:
        """Store a commit of Corral's own; returns its id, which follows from what is given.

        Args:
            tree: Its files.
            parents: Its parents, in order.
            when: Its time, in seconds since the epoch.
            message: Its message.
        """
        lines = [f"tree {tree}", *(f"parent {parent}" for parent in parents)]
        lines += [f"{who} Corral <corral@localhost> {when} +0000" for who in ("author", "committer")]
        body = ("\n".join(lines) + f"\n\n{message.rstrip()}\n").encode()
        closed.git(self.path, "hash-object", "-t", "commit", "-w", "--stdin", stdin=body)
        return oid_of("commit", body)

    def _chunk(self, pairs: Sequence[tuple[str, str]]) -> list[Merge]:
        """Merge some pairs in one process; where that fails, half of them at a time, to find which it is."""
        try:
            if not self.whole:
                return [self._by_index(ours, theirs) for ours, theirs in pairs]
            return self._by_merge_tree(pairs)
        except GitError as error:
            if len(pairs) == 1:
                return [Merge(None, why=_words(error))]
            half = len(pairs) // 2
            return self._chunk(pairs[:half]) + self._chunk(pairs[half:])

    def _by_merge_tree(self, pairs: Sequence[tuple[str, str]]) -> list[Merge]:
        command = ("merge-tree", "--write-tree", "--stdin", "--name-only", "--no-messages")
        with tempfile.TemporaryFile() as asked:
            asked.write("".join(f"{ours} {theirs}\n" for ours, theirs in pairs).encode())
            asked.seek(0)
            with closed.records(
                self.path,
                *command,
                end=b"\0",
                longest=LONGEST_NAME,
                stdin=asked,
                alternates=self.borrowed,
            ) as rows:
                found = list(_told(rows))
        if len(found) != len(pairs):
            raise GitError(command[0], 0, "it did not answer for every pair")
        return found

    # -- older git

    def _by_index(self, ours: str, theirs: str) -> Merge:
        found = self._git("merge-base", "--all", ours, theirs).decode().split()
        if found in ([ours], [theirs]):
            later = theirs if found == [ours] else ours
            return Merge(self._git("rev-parse", f"{later}^{{tree}}").decode().strip())
        if len(found) != 1:
            return Merge(None, why="their history has more than one merge base, for which git is too old")
        self._git("read-tree", "--empty")
        self._git("read-tree", "-i", "-m", "--aggressive", found[0], ours, theirs)
        conflicts, solved = [], []
        for path, stages in self._unmerged():
            entry = self._merged_file(stages)
            if entry is None:
                conflicts.append(path)
            else:
                solved.append(b"%s %s 0\t%s" % (*entry, path))
        if conflicts:
            return Merge(None, tuple(conflicts[:MOST_FILES]))
        self._git("update-index", "-z", "--index-info", stdin=b"".join(row + b"\0" for row in solved))
        return Merge(self._git("write-tree").decode().strip())

    def _unmerged(self) -> list[tuple[bytes, dict[bytes, tuple[bytes, bytes]]]]:
        """The files that the index does not settle: by path, and by stage the mode and the id."""
        files: dict[bytes, dict[bytes, tuple[bytes, bytes]]] = {}
        for row in self._git("ls-files", "--unmerged", "-z").split(b"\0"):
            head, _, path = row.partition(b"\t")
            if path:
                mode, oid, stage = head.split()
                files.setdefault(path, {})[stage] = mode, oid
        return list(files.items())

    def _merged_file(self, stages: dict[bytes, tuple[bytes, bytes]]) -> tuple[bytes, bytes] | None:
        """The mode and the id of a file that both changed, merged; None where it does not merge."""
        if set(stages) != {b"1", b"2", b"3"} or any(mode not in PLAIN_MODES for mode, _ in stages.values()):
            return None
        base, ours, theirs = (stages[stage] for stage in (b"1", b"2", b"3"))
        with tempfile.TemporaryDirectory(dir=self.path) as folder:
            files = [Path(folder) / name for name in ("ours", "base", "theirs")]
            for file, (_, oid) in zip(files, (ours, base, theirs), strict=True):
                file.write_bytes(self._git("cat-file", "blob", oid.decode()))
            try:
                text = self._git("merge-file", "-p", "-q", *map(str, files))
            except GitError as error:
                if error.code < 0:
                    raise
                return None  # so many conflicts, or it is no text
        mode = theirs[0] if ours[0] == base[0] else ours[0]
        return mode, self._git("hash-object", "-w", "--stdin", stdin=text).strip()

    def _git(self, *arguments: str, stdin: bytes | None = None) -> bytes:
        return closed.git(self.path, *arguments, stdin=stdin, alternates=self.borrowed)


def prepare(path: Path, git_dir: Path, *, whole: bool | None = None) -> Merging:
    """Make a quarantine in which branches of a repository can be merged.

    Args:
        path: Where; must not exist.
        git_dir: The user's git directory; only read.
        whole: Whether this git can merge as `git merge` does; it is asked, by default.

    Raises:
        GitError: It can't be made.
    """
    closed.init_bare(path)
    with (path / "config").open("a") as config:
        config.write(_CONFIGURATION)
    boundary = git_dir / "shallow"
    if boundary.exists():
        (path / "shallow").write_bytes(boundary.read_bytes())
    closed.open_to_read(path)
    return Merging(path, (git_dir / "objects",), merges_in_memory(path) if whole is None else whole)


def merges_in_memory(git_dir: Path) -> bool:
    """Whether this git has `merge-tree --write-tree --stdin`."""
    try:
        closed.git(git_dir, "merge-tree", "--write-tree", "--stdin", stdin=b"")
    except GitError:
        return False
    return True


def _told(rows: Iterator[bytes]) -> Iterator[Merge]:
    """What `merge-tree --stdin` says of each pair: a status, a tree, names, and an empty record."""
    for status in rows:
        tree = next(rows, b"").decode("ascii")
        names: dict[bytes, None] = {}
        while name := next(rows, b""):
            if len(names) < MOST_FILES:
                names[name] = None
        if status not in {b"0", b"1"} or not tree:
            raise GitError("merge-tree", 0, "its answer is not what git's manual says")
        yield Merge(tree) if status == b"1" else Merge(None, tuple(names))


def _words(error: GitError) -> str:
    return f"git could not merge them: {ascii(' '.join(str(error).split()))[1:200]}"
