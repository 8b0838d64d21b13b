"""The quarantine: a bare repository in which gathered objects are checked before they count as work.

It borrows the base store's objects, never the user's, so that no commit of the user's which the box was
not given can be made part of the work by naming it. Checks come in the order of their danger: the pack
itself (strictly, under limits), the shape of its history, the shape of its trees. Only then is anything
else asked of it.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from runner.gather.pack import RawWork
from runner.gather.policy import Policy, Refused, TreeWalk
from runner.git import closed
from runner.git.base_store import BaseStore
from runner.git.closed import GitError

PACK_LIMIT = 1024**3
PATHS_SHOWN = 200


@dataclass(frozen=True)
class Change:
    """How a commit differs from its base; None where the difference is too large to count."""

    files: int | None
    insertions: int | None
    deletions: int | None


@dataclass(frozen=True)
class Quarantine:
    """Checked work: `path` holds the objects, `commit` is the tip."""

    path: Path
    base: BaseStore
    commit: str

    @property
    def alternates(self) -> tuple[Path, ...]:
        """Where the objects of the base are."""
        return (self.base.objects,)

    @property
    def is_empty(self) -> bool:
        """Whether the tip's files are those of the base."""
        return self._tree(self.commit) == self._tree(self.base.commit)

    def change(self) -> Change:
        """Files, inserted and deleted lines against the base."""
        try:
            rows = closed.git(
                self.path,
                *("diff-tree", "-r", "--numstat", "--no-renames", "--no-ext-diff", "--no-textconv", "-z"),
                *(self.base.commit, self.commit),
                alternates=self.alternates,
            )
        except GitError:
            return Change(None, None, None)
        counts = [row.split(b"\t") for row in rows.split(b"\0") if row]
        return Change(
            len(counts),
            sum(int(row[0]) for row in counts if row[0].isdigit()),
            sum(int(row[1]) for row in counts if row[1].isdigit()),
        )

    def links_and_submodules(self) -> tuple[str, ...]:
        """Flags for new symlinks that leave the tree and for submodule entries."""
        rows = closed.git(
            self.path,
            *("diff-tree", "-r", "-z", "--no-renames", "--diff-filter=AMT", self.base.commit, self.commit),
            alternates=self.alternates,
        ).split(b"\0")
        flags = []
        for head, path in zip(rows[0::2], rows[1::2], strict=False):
            _, mode, _, oid, *_ = head.decode("ascii", errors="replace").split(" ")
            shown = ascii(path.decode(errors="replace"))
            if mode == "160000":
                flags.append(f"submodule entry {shown}: its files are not in the branch")
            elif mode == "120000" and self._leaves(path, oid):
                flags.append(f"symlink {shown} leads out of the tree")
        return tuple(flags[:PATHS_SHOWN])

    def _leaves(self, path: bytes, oid: str) -> bool:
        target = closed.git(self.path, "cat-file", "blob", oid, alternates=self.alternates)
        if target.startswith(b"/"):
            return True
        level = path.count(b"/")
        for part in target.split(b"/"):
            level += -1 if part == b".." else (part not in {b"", b"."})
            if level < 0:
                return True
        return False

    def _tree(self, commit: str) -> bytes:
        return closed.git(
            self.path, "rev-parse", "--verify", f"{commit}^{{tree}}", alternates=self.alternates
        )


def take_in(path: Path, work: RawWork, base: BaseStore, policy: Policy | None = None) -> Quarantine:
    """Check gathered work strictly.

    Args:
        path: Where the quarantine is made; must not exist.
        work: What the gather container printed.
        base: The history that the box was given.
        policy: The bounds on the trees.

    Raises:
        Refused: The work is malformed, incomplete, not built on the base, or breaks the policy.
        GitError: Git failed for another reason, such as a full disk.
    """
    policy = policy or Policy()
    closed.init_bare(path)
    if base.shallow:
        (path / "shallow").write_text(base.shallow)
    quarantine = Quarantine(path, base, work.tip)
    _index(quarantine, work.pack)
    commits = _history(quarantine, policy)
    _contents(quarantine, commits, policy)
    _open_to_read(path)
    return quarantine


def _index(quarantine: Quarantine, pack: Path) -> None:
    with pack.open("rb") as stream:
        try:
            closed.git(
                quarantine.path,
                *("index-pack", "--stdin", "--fix-thin", "--strict", "--fsck-objects"),
                f"--max-input-size={PACK_LIMIT}",
                stdin=stream,
                alternates=quarantine.alternates,
            )
        except GitError as error:
            if "No space left" in error.stderr:
                raise
            raise Refused(f"git refuses its objects: {_words(error)}") from error


def _history(quarantine: Quarantine, policy: Policy) -> list[str]:
    """The commits between base and tip, each with a bounded number of parents."""
    git_dir, base, tip = quarantine.path, quarantine.base.commit, quarantine.commit
    try:
        kind = closed.git(git_dir, "cat-file", "-t", tip, alternates=quarantine.alternates).strip()
    except GitError as error:
        raise Refused("the tip it names is not there") from error
    if kind != b"commit":
        raise Refused("its tip is not a commit")
    limit = f"--max-count={policy.commits + 1}"
    try:
        rows = closed.git(
            git_dir, "rev-list", "--parents", limit, tip, f"^{base}", alternates=quarantine.alternates
        )
        if not closed.succeeds(
            git_dir, "merge-base", "--is-ancestor", base, tip, alternates=quarantine.alternates
        ):
            raise Refused("its history does not build on the base commit")
        closed.git(
            git_dir, "rev-list", "--objects", "--quiet", tip, f"^{base}", alternates=quarantine.alternates
        )
    except GitError as error:
        raise Refused(f"its history is incomplete: {_words(error)}") from error
    commits = [row.split() for row in rows.decode("ascii").splitlines()]
    if len(commits) > policy.commits:
        raise Refused(f"more than {policy.commits} commits")
    if any(len(row) - 1 > policy.parents for row in commits):
        raise Refused(f"a commit with more than {policy.parents} parents")
    return [row[0] for row in commits]


def _contents(quarantine: Quarantine, commits: list[str], policy: Policy) -> None:
    """Every commit's tree within its bounds, every new file within its size."""
    with closed.streaming(
        quarantine.path, "cat-file", "--batch", alternates=quarantine.alternates, stdin=True
    ) as batch:
        walk = TreeWalk(lambda oid: _object(batch, oid, policy.tree_object), policy)
        for commit in commits:
            body = _object(batch, commit, policy.commit_object)
            walk.shape(body[5:45].decode("ascii", errors="replace"))
    listing = closed.git(
        quarantine.path,
        *("rev-list", "--objects", "--no-object-names", quarantine.commit, f"^{quarantine.base.commit}"),
        alternates=quarantine.alternates,
    )
    sizes = closed.git(
        quarantine.path,
        *("cat-file", "--batch-check=%(objecttype) %(objectsize)"),
        stdin=listing,
        alternates=quarantine.alternates,
    )
    blobs = [int(row.split()[1]) for row in sizes.splitlines() if row.startswith(b"blob")]
    if any(size > policy.blob for size in blobs):
        raise Refused(f"a file of more than {policy.blob // 1024**2} MiB")
    if sum(blobs) > policy.total:
        raise Refused(f"more than {policy.total // 1024**2} MiB of new files")


def _object(batch: subprocess.Popen[bytes], oid: str, largest: int) -> bytes:
    if batch.stdin is None or batch.stdout is None:
        raise AssertionError("both ends are pipes")
    batch.stdin.write(f"{oid}\n".encode())
    batch.stdin.flush()
    header = batch.stdout.readline().split()
    if len(header) != 3:
        raise Refused("an object that it names is not there")
    if int(header[2]) > largest:
        kind = header[1].decode("ascii", errors="replace")
        raise Refused(f"a {kind} object of more than {largest // 1024**2} MiB")
    body = batch.stdout.read(int(header[2]) + 1)
    return body[:-1]


def _open_to_read(path: Path) -> None:
    """Let the check's uid read the objects through its mount, whatever the umask was."""
    for folder in (path, *(p for p in path.rglob("*") if p.is_dir())):
        folder.chmod(0o755)
    for file in (path / "objects").rglob("*"):
        if file.is_file():
            file.chmod(0o444)


def _words(error: GitError) -> str:
    lines = error.stderr.strip().splitlines() or ["no message"]
    return ascii(lines[-1][:200]).strip("'\"")
