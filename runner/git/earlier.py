"""Work that came home, given to a later box: its commits, in a git directory that no box has seen yet."""

from __future__ import annotations

from pathlib import Path

from runner.git import closed
from runner.git.base_store import BaseStore

MESSAGE = b"Work of an earlier try\n"


def lay_in(git_dir: Path, target: Path, commit: str, base: BaseStore) -> str:
    """Put the commits between a base and earlier work into a box's git directory, before the box exists.

    What boxes see of the past does not change: where the user's own base commit is not shown to them, the
    work stands as one commit on what stands for it.

    Args:
        git_dir: The user's git directory, where the work came home to; only read.
        target: The box's git directory.
        commit: The work.
        base: The history that the box is given.

    Returns:
        The commit in the box.

    Raises:
        GitError: The work is no longer there, or can't be written.
    """
    if base.original is None:
        _copy(git_dir, target, f"{commit}\n^{base.origin}\n")
        return commit
    tree = closed.git(git_dir, "rev-parse", "--verify", f"{commit}^{{tree}}").decode().strip()
    _copy(git_dir, target, f"{tree}\n^{base.origin}^{{tree}}\n")
    made = closed.git(
        target, "commit-tree", tree, "-p", base.commit, stdin=MESSAGE, alternates=(base.objects,)
    )
    return made.decode().strip()


def _copy(git_dir: Path, target: Path, wanted: str) -> None:
    closed.pipe(
        (git_dir, ("pack-objects", "-q", "--revs", "--stdout", "--delta-base-offset"), wanted.encode()),
        (target, ("index-pack", "--stdin")),
        closed.DEFAULT,
    )
