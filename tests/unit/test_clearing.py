"""Who clears away what ended runs left owns these runs meanwhile, and touches nothing of any other."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import cast

import pytest

from runner.sandbox.engine import Engine
from runner.supervisor import events as e
from runner.supervisor import reap
from runner.supervisor.deadline import awake
from runner.supervisor.journal import Journal
from runner.supervisor.means import Stewards
from runner.supervisor.morning import together
from runner.supervisor.ownership import keeper
from runner.supervisor.ownership import lease as leases
from runner.supervisor.ownership.lease import DEAD_AFTER, OwnedError, is_over, owned
from runner.supervisor.ownership.presence import Presence, presence


class NoEngine:
    """An engine with nothing on it."""

    def find(self, _: list[str]) -> list[object]:
        return []

    def find_volumes(self, _: list[str]) -> dict[str, dict[str, str]]:
        return {}


ENGINE = cast("Engine", NoEngine())
NOBODY = cast("Stewards", None)
"""No workspace is whole here, so none is asked."""


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    """A journal with a run that everybody left, of which a file is left."""
    with Journal(tmp_path / "journal.db") as book:
        with owned(book, tmp_path, "r") as lease:
            book.append("r", e.Draining(at=1), lease.token)
        yield book


@pytest.fixture
def stray(tmp_path: Path) -> Path:
    """What was left of the run."""
    return left_of(tmp_path, "r")


def left_of(home: Path, run: str) -> Path:
    """A file that a killed process of a run left."""
    (home / "kept").mkdir(exist_ok=True)
    file = home / "kept" / f"{run}+t+p+1.part"
    file.touch()
    return file


def test_what_everybody_left_is_cleared_and_given_back(tmp_path: Path, journal: Journal, stray: Path) -> None:
    with reap.clearing(ENGINE, tmp_path) as clearing:
        assert (clearing.left.strays, clearing.alone) == ((stray,), ())
        assert clearing.clear(NOBODY) == []
    assert not stray.exists()
    assert is_over(tmp_path, "r")
    with owned(journal, tmp_path, "r"):
        pass


def test_nobody_takes_a_run_up_while_it_is_being_cleared(
    tmp_path: Path, journal: Journal, stray: Path
) -> None:
    with reap.clearing(ENGINE, tmp_path) as clearing:
        assert clearing.left.strays == (stray,)
        with pytest.raises(OwnedError), owned(journal, tmp_path, "r"):
            pass


def test_a_run_that_is_taken_up_just_then_is_left_alone(
    tmp_path: Path, journal: Journal, stray: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its supervisor comes back between the look at it and the taking of it."""
    other, looks = left_of(tmp_path, "unknown"), presence
    with ExitStack() as supervisor:

        def looked(home: Path, run: str) -> Presence:
            found = looks(home, run)
            if run == "r":
                supervisor.enter_context(owned(journal, tmp_path, "r"))
            return found

        monkeypatch.setattr(reap, "presence", looked)
        with reap.clearing(ENGINE, tmp_path) as clearing:
            assert clearing.left.strays == (other,)
            (words,) = clearing.alone
            assert "the run r is left alone" in words
            clearing.clear(NOBODY)
    assert (stray.exists(), other.exists()) == (True, False)


def test_who_slept_while_clearing_touches_no_more(
    tmp_path: Path, journal: Journal, stray: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with reap.clearing(ENGINE, tmp_path) as clearing:
        hung = awake() + DEAD_AFTER + 1
        monkeypatch.setattr(leases, "awake", lambda: hung)
        with owned(journal, tmp_path, "r"), pytest.raises(OwnedError, match="took the run r over"):
            clearing.clear(NOBODY)
    assert stray.exists()


def test_a_run_that_comes_back_by_itself_is_left_alone(tmp_path: Path, journal: Journal, stray: Path) -> None:
    assert list(journal.events("r"))
    with keeper.keeping(keeper.file_of(tmp_path, "r")):
        assert not reap.look(ENGINE, tmp_path)
        with reap.clearing(ENGINE, tmp_path) as clearing:
            assert not clearing.left
            assert "started again by itself" in clearing.alone[0]
    assert reap.look(ENGINE, tmp_path).strays == (stray,)


@pytest.mark.parametrize("run", ["unknown", "", "No Name"])
def test_a_run_of_which_no_journal_tells_is_cleared(tmp_path: Path, run: str) -> None:
    stray = left_of(tmp_path, run)
    with reap.clearing(ENGINE, tmp_path) as clearing:
        clearing.clear(NOBODY)
    assert not stray.exists()
    assert [place.name for place in tmp_path.iterdir()] == ["kept"]
    with Journal(tmp_path / "journal.db") as journal:
        stray.touch()
        with reap.clearing(ENGINE, tmp_path) as clearing:
            clearing.clear(NOBODY)
        assert (stray.exists(), journal.lease(run)) == (False, None)


def test_what_a_killed_integration_left_is_cleared_where_nobody_owns_the_run(
    tmp_path: Path, journal: Journal
) -> None:
    scratch = tmp_path / "runs" / "r" / "together"
    with together._place(tmp_path, "r", 0) as place:
        place.mkdir()
        shutil.copytree(scratch, tmp_path / "kept by a kill")
    shutil.move(tmp_path / "kept by a kill", scratch)
    with owned(journal, tmp_path, "r"):
        assert not reap.look(ENGINE, tmp_path), "it may be at work"
        with reap.clearing(ENGINE, tmp_path) as clearing:
            assert not clearing.left
    (tmp_path / "runs" / "r" / "log").touch()
    with reap.clearing(ENGINE, tmp_path) as clearing:
        assert clearing.left.words() == [f"removes quarantine {scratch}"]
        clearing.clear(NOBODY)
    assert [one.name for one in (tmp_path / "runs" / "r").iterdir()] == ["log"]
