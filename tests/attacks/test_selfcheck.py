"""`corral selfcheck` and the test before a night, on this machine, with all defences in place."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.selfcheck.promises import PROMISES
from tests.attacks.leavings import left
from tests.engine import test_ordinary_user
from tests.engine.test_ordinary_user import User
from tests.support import Corral, make_repo, write_tasks

member = test_ordinary_user.user
"""The fixture: a fresh user."""


@pytest.fixture
def corral(tmp_path: Path) -> Iterator[Corral]:
    """The command, beside whose runs nothing may stay."""
    home = tmp_path / "home"
    yield Corral(home)
    assert left(home) == []


def test_every_promise_holds_here_and_nothing_is_left(corral: Corral) -> None:
    done = corral("selfcheck", "--json")
    assert [(row["name"], row["level"]) for row in done.json] == [(p.name, "ok") for p in PROMISES], done.out
    assert done.code == 0
    assert "attack 6 of 6" in done.err, "it says how far it is"
    assert sorted(file.name for file in corral.home.iterdir()) == [".gitignore", "locks"]


def test_a_test_that_was_killed_is_cleared_away_by_reap(corral: Corral) -> None:
    process = corral.start("selfcheck")
    assert process.stderr is not None
    try:
        for line in process.stderr:
            if "attack 1 of" in line:
                break
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=30)
    assert (corral.home / "selfcheck").is_dir()
    assert "removed what a `corral selfcheck` had left" in corral("reap").out
    assert not (corral.home / "selfcheck").exists()


def test_a_run_tests_what_it_can_in_a_second_and_says_nothing(corral: Corral, tmp_path: Path) -> None:
    file = write_tasks(tmp_path / "corral.yaml", make_repo(tmp_path / "repo"), {"t": "touch made"})
    done = corral("run", file, "--json")
    assert (done.code, done.summary["weaker"]) == (0, []), done.err


def test_what_is_accepted_must_be_a_promise(corral: Corral, tmp_path: Path) -> None:
    file = write_tasks(tmp_path / "corral.yaml", make_repo(tmp_path / "repo"), {"t": "touch made"})
    done = corral("run", file, "--accept-weaker", "git-mask", "--accept-weaker", "the-moon")
    assert done.code == 2
    assert "there is no promise 'the-moon'" in done.err
    assert "git-mask, base-store" in done.err


def test_every_promise_holds_for_a_member_of_the_docker_group(member: User) -> None:
    done = member.corral("selfcheck", "--json")
    assert (done.code, [row["name"] for row in done.json if row["level"] != "ok"]) == (0, []), done.out
    assert not (member.home / "state" / "selfcheck").exists()
    assert left(member.home / "state") == []
