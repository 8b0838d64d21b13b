"""The checks can fail: each of five defences taken away is found, named, and stops a run unless accepted."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.attacks.leavings import left
from tests.conftest import FULL, SEED
from tests.support import Corral, Done, git, make_repo, write_tasks

PROJECT = Path(__file__).parents[2]
REMOVALS = {
    "mask": ["git-mask"],
    "seccomp": ["system-calls"],
    "base-store": ["base-store"],
    "tree-policy": ["tree-policy"],
    # A disk of its own bounds bytes and files, and is what is mounted `nosuid,nodev`.
    "disk-cap": ["disk-bytes", "disk-files", "setuid"],
}
DRAWN = sorted(REMOVALS) if FULL else random.Random(SEED).sample(sorted(REMOVALS), 2)  # noqa: S311 - a test
"""What whole runs are tried without: all of them at the full counts."""


@dataclass(frozen=True)
class Without:
    """The command without one of its defences, and the promises that then can't hold."""

    defence: str
    corral: Corral
    file: Path
    repo: Path

    @property
    def promises(self) -> list[str]:
        """What is broken then."""
        return REMOVALS[self.defence]

    def __call__(self, *arguments: str | Path) -> Done:
        """Run a command without the defence."""
        done = subprocess.run(
            [sys.executable, "-m", "tests.attacks.without", self.defence, *map(str, arguments)],
            cwd=PROJECT,
            env=self.corral.environment,
            check=False,
            capture_output=True,
            text=True,
            timeout=300,
            stdin=subprocess.DEVNULL,
        )
        return Done(done.returncode, done.stdout, done.stderr)


@pytest.fixture(params=REMOVALS)
def without(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Without]:
    """Each defence in turn, taken away; whatever is left on the host fails the test."""
    with taken_away(str(request.param), tmp_path) as without:
        yield without


@contextmanager
def taken_away(defence: str, tmp_path: Path) -> Iterator[Without]:
    """The command without a defence, and a repository for it."""
    home, repo = tmp_path / "home", make_repo(tmp_path / "repo")
    git(repo, "checkout", "--quiet", "-b", "secret")
    git(repo, "commit", "--quiet", "--allow-empty", "--message=secret")
    git(repo, "checkout", "--quiet", "main")
    file = write_tasks(tmp_path / "corral.yaml", repo, {"t": "touch made"})
    yield Without(defence, Corral(home), file, repo)
    assert left(home) == []


def test_selfcheck_names_the_promise_and_no_other(without: Without) -> None:
    done = without("selfcheck", "--json")
    broken = {row["name"]: row for row in done.json if row["level"] == "broken"}
    assert (done.code, list(broken)) == (3, without.promises), done.out
    for row in broken.values():
        assert row["cure"]
        assert "could not be tested" not in row["found"]


@pytest.mark.parametrize("without", DRAWN, indirect=True)
def test_a_run_is_refused_before_any_attempt(without: Without) -> None:
    done = without("run", without.file)
    assert done.code == 3
    for promise in without.promises:
        assert f"the promise {promise} is broken here: " in done.err
        assert f"--accept-weaker {promise}" in done.err
    assert without.corral("status", "--all").out == "", "no run began"
    assert git(without.repo, "for-each-ref", "--format=%(refname)") == "refs/heads/main\nrefs/heads/secret"


@pytest.mark.parametrize("without", DRAWN, indirect=True)
def test_a_run_goes_on_where_a_person_accepts_it_and_says_so(without: Without) -> None:
    accept = [word for promise in without.promises for word in ("--accept-weaker", promise)]
    done = without("run", without.file, "--json", *accept)
    assert (done.code, done.verdicts) == (0, {"t": "done"}), done.err
    said = done.summary["weaker"]
    assert [words.partition(" is broken, and accepted: ")[0] for words in said] == without.promises
    report = without.corral("report").out
    for promise in without.promises:
        assert f"{promise} is broken, and accepted: " in report


def test_accepting_another_promise_is_not_enough(tmp_path: Path) -> None:
    with taken_away("mask", tmp_path) as without:
        done = without("run", without.file, "--accept-weaker", "leftovers")
        assert (done.code, without.corral("status", "--all").out) == (3, "")


def test_a_platform_that_lacks_a_part_is_weaker_and_the_run_goes_on(tmp_path: Path) -> None:
    """No loop devices: not a hole, and said by the selfcheck and by the run's summary."""
    lost = set(REMOVALS["disk-cap"])
    with taken_away("loop-devices", tmp_path) as without:
        done = without("selfcheck", "--json")
        levels = {row["name"]: row["level"] for row in done.json}
        assert (done.code, {name for name, level in levels.items() if level == "weaker"}) == (0, lost)
        assert set(levels.values()) == {"ok", "weaker"}
        done = without("run", without.file, "--json")
        assert (done.code, done.verdicts) == (0, {"t": "done"}), done.err
        assert any("`limits.disk` is only looked after" in words for words in done.summary["weaker"])
