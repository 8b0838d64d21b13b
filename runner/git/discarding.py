"""Taking a branch of Corral's away: what exists nowhere else is put aside first, as a file that git reads."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path

from runner.errors import HostError
from runner.git import closed
from runner.git.handing import write_lasting_bundle

KINDS = ("refs/heads", "refs/tags")
"""What keeps commits for good. A detached HEAD does not, nor a stash, which is meant to go, nor what a remote
had when it was asked last: the next `fetch --prune` may take that away."""


def holders(git_dir: Path, commit: str, prefix: str) -> tuple[str, ...]:
    """The user's own branches and tags that hold a commit; those below Corral's prefix don't count.

    Args:
        git_dir: The user's git directory.
        commit: The commit.
        prefix: What the names of Corral's branches start with.

    Raises:
        GitError: The repository can't be read.
    """
    listing = closed.git(git_dir, "for-each-ref", f"--contains={commit}", "--format=%(refname)", *KINDS)
    refs = listing.decode(errors="surrogateescape").splitlines()
    return tuple(ref for ref in refs if not ref.startswith(f"refs/heads/{prefix}/"))


def has_commit(git_dir: Path, commit: str) -> bool:
    """Whether a commit is there."""
    try:
        closed.git(git_dir, "cat-file", "-e", f"{commit}^{{commit}}")
    except closed.GitError:
        return False
    return True


def checked_out_in(git_dir: Path, branch: str) -> str | None:
    """The work tree that is on a branch; None if none is."""
    listing = closed.git(git_dir, "worktree", "list", "--porcelain").decode(errors="surrogateescape")
    for entry in listing.split("\n\n"):
        rows = entry.splitlines()
        if f"branch refs/heads/{branch}" in rows:
            return rows[0].removeprefix("worktree ")
    return None


def put_aside(git_dir: Path, file: Path, branch: str, commit: str, prefix: str) -> None:
    """Write all commits of a branch that none of the user's own branches and tags hold to a bundle.

    The file is whole, tried and safe on the disk when this returns, or it is not there.

    Args:
        git_dir: The user's git directory.
        file: The bundle.
        branch: The branch's name, which it has in the bundle too.
        commit: Its commit.
        prefix: As for `holders`.

    Raises:
        GitError: A commit is not there, or git failed.
        HostError: The file can't be written, or does not give the commit back.
    """
    scratch = file.with_name(f"{file.name}.part")  # what a kill leaves of it, `corral reap` removes
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_lasting_bundle(git_dir, scratch, {branch: commit}, _built_upon(git_dir, commit, prefix))
        _require_good(git_dir, scratch, branch, commit)
        _to_disk(scratch)
        scratch.replace(file)
        _to_disk(file.parent)
    except OSError as error:
        said = f"{commit[:12]} can't be put aside in {file}: {error.strerror}"
        raise HostError(said, cure="make room there; the branch was left as it is") from error
    finally:
        with suppress(OSError):
            scratch.unlink(missing_ok=True)


def is_put_aside(git_dir: Path, file: Path, branch: str, commit: str) -> bool:
    """Whether a bundle is there that holds a branch as it is at this commit."""
    try:
        heads = closed.git(git_dir, "bundle", "list-heads", str(file)).decode()
    except closed.GitError:
        return False
    return heads.split() == [commit, f"refs/heads/{branch}"]


def delete_branch(git_dir: Path, branch: str, commit: str) -> None:
    """Delete a branch that points at a commit, in one step.

    Raises:
        GitError: It is not there, or points elsewhere by now.
    """
    command = f"delete refs/heads/{branch}\0{commit}\0".encode()
    closed.git(git_dir, "update-ref", "--stdin", "-z", stdin=command)


def _built_upon(git_dir: Path, commit: str, prefix: str) -> list[str]:
    """The commits that a bundle need not hold, since the user's own branches and tags hold them."""
    own = ("--not", f"--exclude={prefix}/*", "--branches", "--tags")
    rows = closed.git(git_dir, "rev-list", "--boundary", commit, *own, bounds=closed.WHOLE_HISTORY).decode()
    return [row[1:] for row in rows.splitlines() if row.startswith("-")]


def _require_good(git_dir: Path, file: Path, branch: str, commit: str) -> None:
    """See that git takes the commit, and all that belongs to it, from the file."""
    closed.git(git_dir, "bundle", "verify", "--quiet", str(file), bounds=closed.WHOLE_HISTORY)
    with tempfile.TemporaryDirectory(prefix="corral-tried-") as folder:
        trial = closed.init_bare(Path(folder) / "trial.git")
        closed.git(
            trial,
            *("bundle", "unbundle", str(file)),
            alternates=(git_dir / "objects",),
            bounds=closed.WHOLE_HISTORY,
        )
    if not is_put_aside(git_dir, file, branch, commit):
        raise HostError(f"the bundle {file} does not hold {branch}", cure="the branch was left as it is")


def _to_disk(path: Path) -> None:
    """See that what was written is on the disk, whatever happens to the machine now."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
