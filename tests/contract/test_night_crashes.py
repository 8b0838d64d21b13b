"""The supervisor dies, or its disk is full, at each single write of its journal; another one goes on.

Over the FAKE engine, and in one process: that it was killed is imitated by ending every thread of it at its
next call of the engine. The same with real containers and SIGKILL is in tests/engine.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from contextlib import closing

import pytest

from runner.errors import HostError
from runner.supervisor import events as e
from runner.supervisor.journal import Journal
from runner.supervisor.state import RunState
from runner.tasks.plan import Plan, PlannedAttempt
from tests.conftest import FULL
from tests.contract.fake_night import RUN, Killed, Place

WRITES = 30
"""At least as many as the night has."""

COMMANDS = {
    "writes": "echo begun; echo x > made",
    "says": "echo nothing",
    "waits": "sleep 0.3; echo x > made",
}


def small_night(place: Place) -> Plan:
    """A task, one that begins with its work, and one beside them; the first box to be made fails."""
    place.host.refusing["create"] = 1
    return place.plan(
        PlannedAttempt(task="a", profile="writes"),
        PlannedAttempt(task="b", profile="waits", after=(("a/writes/1",),), start=("a/writes/1",)),
        PlannedAttempt(task="c", profile="says"),
        commands=COMMANDS,
        check="true",
    )


def lived(place: Place, plan: Plan, dies_at: int, mode: str) -> RunState:
    """The night, with one death at that write if it comes to it, and whoever takes it up to its end."""
    with place.supervisor(2, dies_at=dies_at, after=mode == "after", full=mode == "full") as night:
        try:
            return night.start(plan)
        except (Killed, HostError):
            pass
    begun = bool(place.rows())
    if begun and place.folded().ended is not None:
        return place.folded()  # it died of nothing any more: `corral resume` refuses a run that ended
    with place.supervisor(2) as night:
        return night.resume(RUN) if begun else night.start(plan)


def is_sound(place: Place, state: RunState) -> None:
    """Everything is final once, nothing was done twice, and what is told is there."""
    assert state == place.folded()
    happened = Counter(
        (row.event.kind, row.event.attempt) for row in place.rows() if isinstance(row.event, e.OfAttempt)
    )
    for key, attempt in state.attempts.items():
        assert attempt.phase == "final"
        for kind in ("attempt.started", "attempt.final"):
            assert happened[kind, str(key)] == 1
        assert place.host.starts[str(key), "agent"] <= 1, "no agent began twice"
    told = {key: one.commit for key, one in state.attempts.items() if one.branch is not None}
    assert place.branches() == told
    assert [row.event.kind for row in place.rows()].count("run.ended") == 1
    assert state.ended is not None


BOUNDARIES = [("after", at) for at in range(1, WRITES + 1)] + [("before", at) for at in range(1, WRITES + 1)]


@pytest.mark.parametrize(("mode", "dies_at"), BOUNDARIES[:: 1 if FULL else 3])
def test_a_supervisor_that_is_killed_loses_nothing_and_repeats_nothing(
    place: Place, mode: str, dies_at: int
) -> None:
    state = lived(place, small_night(place), dies_at, mode)
    is_sound(place, state)
    last = {key.task: attempt for key, attempt in state.attempts.items()}
    assert {task: one.verdict for task, one in last.items()} == {
        "a": "accepted", "b": "accepted", "c": "no-change",
    }  # fmt: skip
    assert last["b"].base == last["a"].commit
    assert state.exit_code == 1


@pytest.mark.parametrize("dies_at", range(2, WRITES + 1, 1 if FULL else 5))
def test_a_journal_that_can_not_be_written_any_more_stops_the_night_and_it_can_go_on(
    place: Place, dies_at: int
) -> None:
    """Its agents are ended, and their work comes home when there is room again."""
    is_sound(place, lived(place, small_night(place), dies_at, "full"))


def test_a_night_has_no_more_writes_than_were_tried(place: Place) -> None:
    plan = small_night(place)
    with place.supervisor(2) as night:
        is_sound(place, night.start(plan))
    assert 15 < len(place.rows()) < WRITES


def test_a_journal_of_a_newer_corral_is_refused_and_left_as_it_is(place: Place) -> None:
    with place.supervisor(2) as night:
        night.start(place.plan(PlannedAttempt(task="a", profile="says"), commands=COMMANDS))
    rows = place.rows()
    with closing(sqlite3.connect(place.file)) as file:
        (version,) = file.execute("PRAGMA user_version").fetchone()
        file.execute(f"PRAGMA user_version = {version + 1}")
    with pytest.raises(HostError, match="which is newer"):
        Journal(place.file)
    with closing(sqlite3.connect(place.file)) as file:
        file.execute(f"PRAGMA user_version = {version}")
    assert place.rows() == rows


def test_a_journal_of_an_older_corral_is_brought_up_to_date_and_its_night_goes_on(place: Place) -> None:
    """The first format had events alone."""
    plan = small_night(place)
    with place.supervisor(2, dies_at=9) as night, pytest.raises(Killed):
        night.start(plan)
    rows = place.rows()
    with closing(sqlite3.connect(place.file)) as file:
        for (name,) in file.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT IN ('event', 'sqlite_sequence')"
        ).fetchall():
            file.execute(f"DROP TABLE {name}")
        file.execute("PRAGMA user_version = 1")
    assert place.rows() == rows
    with place.supervisor(2) as night:
        is_sound(place, night.resume(RUN))
