"""The worktree entry and the refs in the user's repository: the only two things Corral writes there."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from runner.errors import UsageError
from runner.git import closed
from runner.locks import locked

SMALL_PACK = 100
"""Below so many objects they are stored loose, as `git fetch` does by default (`fetch.unpackLimit`)."""


def add(git_dir: Path, tree: Path, commit: str, locks: Path) -> None:
    """Register a locked worktree at `tree`, without checking anything out.

    Git's own `worktree add` races with itself, so additions to one repository wait for each other.
    """
    with _repository_lock(git_dir, locks):
        closed.git(git_dir, "worktree", "add", "--quiet", "--detach", "--no-checkout", str(tree), commit)
        closed.git(git_dir, "worktree", "lock", "--reason", "a Corral attempt works here", str(tree))


def remove(git_dir: Path, tree: Path, locks: Path) -> None:
    """Remove a worktree's entry; its files are gone already. An entry that isn't there is fine."""
    if not is_registered(git_dir, tree):
        return
    with _repository_lock(git_dir, locks):
        closed.git(git_dir, "worktree", "remove", "--force", "--force", str(tree))


def is_registered(git_dir: Path, tree: Path) -> bool:
    """Whether the repository has an entry for a worktree at this path."""
    listing = closed.git(git_dir, "worktree", "list", "--porcelain", "-z")
    return b"worktree " + str(tree).encode() in listing.split(b"\0")


def import_commits(
    git_dir: Path, quarantine: Path, alternates: tuple[Path, ...], tip: str, base: str
) -> None:
    """Copy the objects between `base` and `tip` from a quarantine that passed every check.

    Raises:
        GitError: They could not be read or written; a part of them may lie there unreferenced.
    """
    revisions = f"{tip}\n^{base}\n".encode()
    pack = closed.git(
        quarantine,
        "pack-objects",
        "-q",
        "--revs",
        "--thin",
        "--stdout",
        stdin=revisions,
        alternates=alternates,
    )
    count = int.from_bytes(pack[8:12], "big")
    if count == 0:
        return
    if count < SMALL_PACK:
        closed.git(git_dir, "unpack-objects", "-q", "--strict", stdin=pack)
    else:
        closed.git(git_dir, "index-pack", "--stdin", "--fix-thin", "--strict", "--fsck-objects", stdin=pack)


def create_branch(git_dir: Path, name: str, commit: str) -> None:
    """Create a branch that must not exist yet.

    Raises:
        GitError: It exists, or another name is in its way.
    """
    command = f"create refs/heads/{name}\0{commit}\0".encode()
    closed.git(git_dir, "update-ref", "--stdin", "-z", stdin=command)


def take(git_dir: Path, name: str, commit: str) -> None:
    """Make a branch of the user's naming.

    Raises:
        UsageError: The name can't be a branch's, or is taken.
    """
    try:
        closed.git(git_dir, "check-ref-format", "--branch", name)
        create_branch(git_dir, name, commit)
    except closed.GitError as error:
        if branch_commit(git_dir, name) is not None:
            raise UsageError(f"there is a branch called {name!r}", cure="give another name") from error
        raise UsageError(f"{name!r} can't be made a branch: {error.stderr.strip()[-200:]}") from error


def diff(git_dir: Path, base: str, commit: str, *, stat: bool) -> bytes:
    """The difference between two commits, without any of the repository's own drivers."""
    form = ("--stat=100",) if stat else ("--patch",)
    safe = ("--no-ext-diff", "--no-textconv", "--no-renames", "--no-color")
    return closed.git(git_dir, "diff-tree", "-r", *form, *safe, base, commit)


def has_tree(git_dir: Path, name: str, commit: str) -> bool:
    """Whether a branch is there already with the files of `commit`: an earlier process made it."""
    existing = branch_commit(git_dir, name)
    if existing is None:
        return False
    trees = closed.git(git_dir, "rev-parse", f"{existing}^{{tree}}", f"{commit}^{{tree}}").split()
    return trees[0] == trees[1]


def branch_commit(git_dir: Path, name: str) -> str | None:
    """The commit of a branch, or None if there is no such branch."""
    try:
        return (
            closed.git(git_dir, "rev-parse", "--verify", "--quiet", f"refs/heads/{name}^{{commit}}")
            .decode()
            .strip()
        )
    except closed.GitError:
        return None


def _repository_lock(git_dir: Path, locks: Path) -> AbstractContextManager[None]:
    name = str(git_dir).strip("/").replace("/", "-")[-120:]
    return locked(locks / f"{name}.lock")
