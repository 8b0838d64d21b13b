"""The worktree entry and the refs in the user's repository: the only two things Corral writes there."""

from __future__ import annotations

import hashlib
import os
from contextlib import AbstractContextManager
from pathlib import Path

from runner.errors import UsageError
from runner.git import closed
from runner.locks import locked

SMALL_PACK = 100
"""Below so many objects they are stored loose, as `git fetch` does by default (`fetch.unpackLimit`)."""
SMALL_BYTES = 16 * 1024**2
"""Of files up to so large together: each is compressed anew, which can take a minute for a gigabyte."""


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
    """Whether the repository has an entry for a worktree at this path.

    Read from the entries themselves: `worktree list -z` needs git 2.36, and without -z a path with a
    line end can't be told apart. Git writes the real path.
    """
    wanted = os.path.realpath(tree / ".git")
    return any(_points_to(entry) == wanted for entry in git_dir.glob("worktrees/*/gitdir"))


def _points_to(entry: Path) -> str | None:
    try:
        return os.path.realpath(os.fsdecode(entry.read_bytes().rstrip(b"\n")))
    except OSError:
        return None


def import_commits(
    git_dir: Path,
    quarantine: Path,
    alternates: tuple[Path, ...],
    tip: str,
    base: str,
    size: int,
    known: tuple[str, ...] = (),
) -> None:
    """Copy the objects between `base` and `tip` from a quarantine that passed every check.

    Args:
        git_dir: The user's git directory.
        quarantine: Where the objects are.
        alternates: Where those are that it borrows.
        tip: The commit that comes home.
        base: A commit that is there already.
        size: Bytes of the files among the objects.
        known: Other commits that are there already.

    Raises:
        GitError: They could not be read or written; a part of them may lie there unreferenced.
    """
    wanted = "".join(f"{line}\n" for line in (tip, f"^{base}", *(f"^{one}" for one in known))).encode()
    counting = ("rev-list", "--objects", "--count", "--stdin")
    objects = closed.git(quarantine, *counting, stdin=wanted, alternates=alternates)
    is_small = int(objects) < SMALL_PACK and size <= SMALL_BYTES
    small = ("unpack-objects", "-q", "--strict")
    large = ("index-pack", "--stdin", "--fix-thin", "--strict", "--fsck-objects")
    closed.pipe(
        (quarantine, ("pack-objects", "-q", "--revs", "--thin", "--stdout"), wanted),
        (git_dir, small if is_small else large),
        closed.DEFAULT,
        alternates,
    )


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
    require_name(git_dir, name)
    try:
        create_branch(git_dir, name, commit)
    except closed.GitError as error:
        if branch_commit(git_dir, name) is not None:
            raise UsageError(f"there is a branch called {name!r}", cure="give another name") from error
        said = " ".join(error.stderr.split())[-200:]
        cure = "another branch's name may begin with it, or it with another's: `git branch --list` shows them"
        raise UsageError(f"the branch {name!r} can't be made: {said}", cure=cure) from error


def require_name(git_dir: Path, name: str) -> None:
    """See that a branch can be called so.

    Raises:
        UsageError: It can't.
    """
    try:
        closed.git(git_dir, "check-ref-format", "--branch", name)
    except closed.GitError as error:
        cure = "git help check-ref-format says what names can be: no spaces, no `..`, no `-` in front"
        raise UsageError(f"a branch can't be called {name!r}", cure=cure) from error


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
    name = hashlib.sha256(os.fsencode(git_dir)).hexdigest()[:16]
    return locked(locks / f"repository-{name}.lock")
