"""Git inside a box is git: everything people and agents do with it works there as anywhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import QUICK, Corral, Done, git, make_repo

FILES = {"a.txt": "one\ntwo\nthree\n", "b/c.txt": "four\n", ".gitignore": "*.log\n"}
LIMITS = {**QUICK, "disk": "256MiB"}
TEXT = (Path(__file__).parent / "uses_of_git.sh").read_text()
USES = dict(part.split("\n", 1) for part in TEXT.split("\n## ")[1:])


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Done]:
    """One run in which each use is a task of its own."""
    folder = tmp_path_factory.mktemp("inside")
    repo = make_repo(folder / "repo", {"a.txt": "one\n"})
    for name, text in FILES.items():
        (repo / name).parent.mkdir(exist_ok=True)
        (repo / name).write_text(text)
    git(repo, "add", "--all")
    git(repo, "commit", "--quiet", "--message=second")
    tasks = {name: f"set -e\n{script}" for name, script in USES.items()}
    return repo, Corral(folder / "home").run(repo, tasks, "--jobs", "4", limits=LIMITS)


@pytest.mark.parametrize("use", USES)
def test_git_is_normal_in_a_box(night: tuple[Path, Done], use: str) -> None:
    repo, done = night
    row = done.attempt(use)
    assert (row["verdict"], row["work"]) == ("done", "gathered"), (row["reason"], row["flags"])
    git(repo, "merge-base", "--is-ancestor", row["base"], row["branch"])
