"""Who leaves a run to a supervisor learns whether it began, however long that takes, or why it did not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from runner.errors import HostError
from runner.supervisor import events as e
from runner.supervisor.journal import Journal
from runner.supervisor.ownership import detached
from runner.supervisor.ownership.lease import owned


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    """A journal, with a place for what the supervisor says."""
    detached.log_file(tmp_path, "r").parent.mkdir(parents=True)
    with Journal(tmp_path / "journal.db") as book:
        yield book


def then(*steps: Callable[[], object]) -> Callable[[], bool]:
    """What a supervisor does from one look to the next; it has ended after the last."""
    left = iter(steps)

    def lives() -> bool:
        step = next(left, None)
        if step is not None:
            step()
        return step is not None

    return lives


def wait(home: Path, *steps: Callable[[], object]) -> list[str]:
    """Wait for the run; returns what was told meanwhile."""
    told: list[str] = []
    detached.wait_until_taken_up(home, "r", then(*steps), told.append)
    return told


def test_a_lease_is_no_beginning(tmp_path: Path, journal: Journal) -> None:
    log = detached.log_file(tmp_path, "r")
    with (
        owned(journal, tmp_path, "r"),
        pytest.raises(HostError, match="could not begin\nerror: no git") as raised,
    ):
        wait(tmp_path, lambda: log.write_text("error: no git-mask\n"))
    assert raised.value.exit_code == 3
    assert "corral resume r" in str(raised.value)


def test_what_is_noted_as_it_ends_is_seen(tmp_path: Path, journal: Journal) -> None:
    resumed = e.RunResumed(at=1, jobs=1)
    assert wait(tmp_path, lambda: None, lambda: journal.append("r", resumed)) == []


def test_while_it_takes_long_it_is_told_line_by_line(
    tmp_path: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(detached, "SOON", -1)
    log = detached.log_file(tmp_path, "r")
    told = wait(
        tmp_path,
        lambda: None,
        lambda: log.write_text("step 1\nste"),
        lambda: log.write_text("step 1\nstep 2\n"),
        lambda: log.write_text("step 1\nstep 2\nstep 3\n"),
        lambda: journal.append("r", e.RunResumed(at=1, jobs=1)),
    )
    assert told == ["step 1", "step 2", "step 3"]
