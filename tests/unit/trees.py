"""Random small trees as branches of one repository; and what a real `git merge` makes of two of them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.support import IDENTITY, git

Tree = Mapping[str, str]
"""Files by path."""


def make_branches(folder: Path, base: Tree, branches: Sequence[Tree | tuple[int, Tree]]) -> Path:
    """A bare repository whose `main` is `base`, and whose `b0`, `b1`, … build on it.

    A branch given as a number and a tree builds on the branch of that number instead.
    """
    git(folder.parent, "init", "--quiet", "--bare", "--initial-branch=main", "--template=", str(folder))
    lines = [_commit("main", base, None)]
    for number, branch in enumerate(branches):
        on, tree = branch if isinstance(branch, tuple) else (None, branch)
        lines.append(_commit(f"b{number}", tree, "main" if on is None else f"b{on}"))
    git(folder, "fast-import", "--quiet", stdin="".join(lines))
    return folder


def _commit(name: str, tree: Tree, parent: str | None) -> str:
    text = f"commit refs/heads/{name}\ncommitter T <t@t> 1700000000 +0000\ndata 1\nx\n"
    text += "" if parent is None else f"from refs/heads/{parent}\n"
    text += "deleteall\n"
    for path, content in tree.items():
        text += f'M 100644 inline "{path}"\ndata {len(content.encode())}\n{content}\n'
    return text + "\n"


def really_merged(repo: Path, scratch: Path, ours: str, theirs: str, *options: str) -> str | None:
    """The tree that `git merge` makes in a clone's work tree; None where it reports a conflict."""
    if not scratch.exists():
        git(scratch.parent, "clone", "--quiet", "--no-checkout", str(repo), str(scratch))
    git(scratch, "checkout", "--quiet", "--force", "--detach", ours)
    git(scratch, "clean", "-qfdx")
    environment = {**os.environ, **IDENTITY, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}
    done = subprocess.run(
        ["git", "-C", str(scratch), "merge", "--quiet", "--no-edit", *options, theirs],
        check=False,
        capture_output=True,
        env=environment,
    )
    if done.returncode == 0:
        return git(scratch, "rev-parse", "HEAD^{tree}")
    git(scratch, "reset", "--quiet", "--hard", ours)
    return None
