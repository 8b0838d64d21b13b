"""How much of the past a box is given, and that what it makes comes home onto the real base all the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support import Corral, Done, git, host_git_hashes

LOOK = """
git log --all --format='%s by %an' > /tmp/seen; cat /tmp/seen
git cat-file --batch-all-objects --batch-check > /tmp/objects
for id in $(sed -n 's/ commit .*//p' /tmp/objects); do
    git cat-file commit $id; echo
done | sed 's/^/object: /'
git commit -q --allow-empty -m first
echo one > made; git add made; git commit -qm second
git switch -qc side HEAD~1; echo side > side; git add side; git commit -qm side
git switch -q work; git merge -q --no-edit side
echo changed > protected; echo left > uncommitted
"""
TASK = {"sh": LOOK, "check": "test -f made -a -f side -a -f uncommitted && grep -q kept protected"}


@pytest.fixture
def past(repo: Path) -> Path:
    """A repository with a past that somebody may not want to show, a later commit and another branch."""
    for number in range(3):
        (repo / "protected").write_text("kept\n")
        (repo / "a.txt").write_text(f"{number}\n")
        git(repo, "add", "--all")
        git(repo, "commit", "--quiet", f"--message=past-{number}", "--author=Canary <canary@example.invalid>")
    git(repo, "tag", "base")
    git(repo, "commit", "--quiet", "--allow-empty", "--message=later-secret")
    git(repo, "branch", "other-secret")
    return repo


def night(corral: Corral, past: Path, history: str) -> tuple[Done, dict[str, Any], str]:
    """A run with this history: what it did, its row, and what its box printed."""
    tasks = {"a": {**TASK, "protect": ["protected"]}}
    before = host_git_hashes(past)
    done = corral.run(past, tasks, history=history, base="base")
    assert host_git_hashes(past) == before
    return done, done.attempt("a"), corral("logs", "a").out


@pytest.mark.parametrize("history", ["full", "shallow", "none"])
def test_work_comes_home_onto_the_real_base(corral: Corral, past: Path, history: str) -> None:
    done, row, printed = night(corral, past, history)
    assert (done.code, row["verdict"]) == (0, "accepted"), (row, printed)
    base = git(past, "rev-parse", "base")
    assert row["base"] == base
    assert git(past, "merge-base", base, row["branch"]) == base
    subjects = git(past, "log", "--format=%s", f"{base}..{row['branch']}").splitlines()
    assert {"first", "second", "side", "Work that was not committed"} <= set(subjects)
    git(past, "fsck", "--strict", "--no-dangling")
    assert "secret" not in printed


def test_a_full_history_ends_at_the_base(corral: Corral, past: Path) -> None:
    _, _, printed = night(corral, past, "full")
    assert [f"past-{n} by Canary" in printed for n in range(3)] == [True] * 3


def test_a_shallow_history_is_the_base_alone(corral: Corral, past: Path) -> None:
    _, _, printed = night(corral, past, "shallow")
    assert ["past-2 by Canary" in printed, "past-1" in printed] == [True, False]


def test_without_history_nothing_is_said_of_the_past(corral: Corral, past: Path) -> None:
    _, _, printed = night(corral, past, "none")
    assert "object: " in printed
    assert ("past-" in printed, "anary" in printed) == (False, False)


def test_a_dependent_builds_on_what_came_home(corral: Corral, past: Path) -> None:
    tasks = {
        "first": "echo one > one; git add one; git commit -qm one-secret-word",
        "second": {"sh": "test -f one; git log --format=%s; echo two > two", "needs": ["first"]},
    }
    done = corral.run(past, tasks, history="none", base="base")
    assert done.verdicts == {"first": "done", "second": "done"}
    branch = done.attempt("second")["branch"]
    assert "one-secret-word" in git(past, "log", "--format=%s", branch).splitlines()
    assert "one-secret-word" not in corral("logs", "second").out
