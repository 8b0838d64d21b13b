"""Forty attempts on a repository that has everything: it keeps every byte, and only branches are added."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.support import Corral, git, host_git_hashes, make_repo

HOOKS = (
    "post-checkout",
    "post-commit",
    "post-index-change",
    "post-merge",
    "post-rewrite",
    "pre-auto-gc",
    "pre-commit",
    "reference-transaction",
)
TASKS = {f"t{number:02}": f"echo {number} > made && echo more >> a.txt" for number in range(40)}


def tripwire(file: Path, marker: Path, what: str) -> Path:
    """A program that notes, outside of any repository, that it was run; it passes its input on."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"#!/bin/sh\necho {what} >> '{marker}'\nexec cat\n")
    file.chmod(0o755)
    return file


def history(repo: Path) -> None:
    """A second branch, a tag, a stash, an annotated tag, packed refs and loose ones, and reflogs."""
    git(repo, "switch", "--quiet", "--create", "second")
    (repo / "second.txt").write_text("second\n")
    git(repo, "add", "--all")
    git(repo, "commit", "--quiet", "--message=second")
    git(repo, "switch", "--quiet", "main")
    git(repo, "tag", "--annotate", "--message=one", "v1")
    git(repo, "pack-refs", "--all")
    git(repo, "branch", "loose")
    (repo / "a.txt").write_text("stashed\n")
    git(repo, "stash")


def worktrees(repo: Path) -> None:
    """One worktree of the user's that is there, and one whose directory is gone."""
    git(repo, "worktree", "add", "--quiet", str(repo.parent / "mine"), "second")
    git(repo, "worktree", "add", "--quiet", "--detach", str(repo.parent / "stale"), "v1")
    (repo.parent / "stale").rename(repo.parent / "moved-away")


def dirty(repo: Path) -> None:
    """Modified, staged, untracked and ignored files."""
    (repo / "staged.txt").write_text("staged\n")
    git(repo, "add", "staged.txt")
    (repo / "a.txt").write_text("modified\n")
    (repo / "untracked.txt").write_text("untracked\n")
    (repo / "ignored.log").write_text("ignored\n")


def traps(repo: Path, marker: Path) -> None:
    """Hooks, filters, drivers and a file-system monitor, all of which would leave a mark."""
    for hook in HOOKS:
        tripwire(repo / ".git" / "hooks" / hook, marker, hook)
    program = tripwire(repo.parent / "trap", marker, "a configured program")
    for key in ("filter.x.clean", "filter.x.smudge", "diff.x.textconv", "diff.external", "core.fsmonitor"):
        git(repo, "config", key, str(program))
    git(repo, "config", "filter.x.required", "true")
    git(repo, "config", "core.logAllRefUpdates", "always")


@pytest.fixture
def rich(tmp_path: Path) -> tuple[Path, Path]:
    """The repository, and the file that exists once anything of the user's was run."""
    files = {"a.txt": "one\n", ".gitattributes": "* filter=x diff=x\n", ".gitignore": "*.log\n"}
    repo = make_repo(tmp_path / "repo", files)
    history(repo)
    worktrees(repo)
    dirty(repo)
    marker = tmp_path / "marker"
    traps(repo, marker)
    return repo, marker


def test_the_traps_work(rich: tuple[Path, Path]) -> None:
    repo, marker = rich
    git(repo, "status")
    git(repo, "branch", "sprung")
    assert {"reference-transaction", "a configured program"} <= set(marker.read_text().splitlines())


def test_forty_attempts_leave_nothing_but_branches(corral: Corral, rich: tuple[Path, Path]) -> None:
    repo, marker = rich
    before, mine = host_git_hashes(repo), host_git_hashes(repo.parent / "mine")
    started = time.monotonic()
    done = corral.run(repo, TASKS, "--jobs", "4", "--name", "forty")
    seconds = time.monotonic() - started
    print(f"{len(TASKS) / seconds:.2f} attempts/s, preparing and ending the run included")
    assert done.code == 0, done.err
    assert set(done.verdicts.values()) == {"done"}
    assert host_git_hashes(repo) == before
    assert host_git_hashes(repo.parent / "mine") == mine
    assert not marker.exists(), marker.read_text()
    assert_branches(repo)


def assert_branches(repo: Path) -> None:
    """There is one branch a task, each with the task's work alone, on the commit and not the dirty tree."""
    head = git(repo, "rev-parse", "main")
    refs = git(repo, "for-each-ref", "--format=%(refname:lstrip=2) %(objectname)", "refs/heads/corral/")
    branches = dict(line.split() for line in refs.splitlines())
    assert set(branches) == {f"corral/forty/{task}/do-{task}/1" for task in TASKS}
    for task in TASKS:
        commit = branches[f"corral/forty/{task}/do-{task}/1"]
        assert git(repo, "rev-parse", f"{commit}^") == head
        assert git(repo, "cat-file", "blob", f"{commit}:made") == str(int(task[1:]))
        assert git(repo, "cat-file", "blob", f"{commit}:a.txt") == "one\nmore"
    (repo / ".git" / "config").write_text("[core]\n\trepositoryformatversion = 0\n")  # fsck without the traps
    git(repo, "fsck", "--strict", "--no-dangling")
