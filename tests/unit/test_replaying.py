"""The plan of a replay, and what a replay ends with."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.errors import UsageError
from runner.gateway.grants import Departure, Replayed, Script
from runner.gateway.places import recordings
from runner.gateway.playing.recording import Lines
from runner.names import AttemptKey
from runner.settings import Settings
from runner.supervisor import events as e
from runner.supervisor.access import accesses_for, check_access, recording
from runner.supervisor.replaying import OFFLINE, exit_code, replay_of
from runner.supervisor.state import RunState
from runner.tasks.plan import AllowedHost, Budget, Caps, ClaudeSettings, Plan, PlannedAttempt, Upstream
from runner.views import report, summary, wording
from tests.unit.makers import after, life, make_plan, started

FIX = PlannedAttempt(task="fix", profile="opus")
SECOND = PlannedAttempt(task="fix", profile="opus", n=2)
NEXT = PlannedAttempt(
    task="next", profile="opus", after=(("fix/opus/1", "fix/opus/2"),), start=("fix/opus/1", "fix/opus/2")
)
LINT = PlannedAttempt(task="lint", profile="lint")


def plan() -> Plan:
    """A night: two attempts at a task, one that starts from the first that served, and a command."""
    made = make_plan(FIX, SECOND, NEXT, LINT)
    opus, lint = made.profiles
    opus = opus.model_copy(update={"settings": ClaudeSettings(model="m")})
    tasks = tuple(
        task.model_copy(update={"network": (AllowedHost(name="x.example"),)}) for task in made.tasks
    )
    more = {"profiles": (opus, lint), "tasks": tasks, "record": True, "notes": ("a note",)}
    return made.model_copy(update={**more, "budget": Budget(run=Caps(tokens=9))})


def record(home: Path, *attempts: str) -> None:
    """Recordings of these attempts, in which nothing was asked."""
    folder = recordings(home, "r")
    folder.mkdir(parents=True)
    for name in attempts:
        (folder / f"{name.replace('/', '+')}.jsonl").write_bytes(Lines.head("r", name))


def test_all_that_was_recorded_is_played_and_nothing_else_is_asked(tmp_path: Path) -> None:
    record(tmp_path, "fix/opus/1", "fix/opus/2", "next/opus/1")
    before = plan()
    before.task("fix")  # looked up, and so remembered
    made = replay_of(started(before), tmp_path)
    assert made.attempts == before.attempts
    assert {profile.upstream.kind for profile in made.profiles} == {"replay"}
    assert [task.network for task in made.tasks] == [(), (), ()]
    assert made.task("fix").network == ()
    assert made.profile("opus").upstream.script == str(recordings(tmp_path, "r"))
    assert (made.record, made.sources, made.budget) == (False, before.sources, before.budget)
    assert made.notes == (OFFLINE,)
    assert {profile.hash for profile in made.profiles}.isdisjoint(
        {profile.hash for profile in before.profiles}
    )
    check_access(made, Settings(home=tmp_path))
    assert accesses_for(made.profile("lint"), LINT.key, Settings(home=tmp_path)) == ()


def test_what_was_not_recorded_is_left_out_with_what_starts_from_it(tmp_path: Path) -> None:
    record(tmp_path, "fix/opus/2", "next/opus/1")
    made = replay_of(started(plan()), tmp_path)
    assert [str(one.key) for one in made.attempts] == ["fix/opus/2", "next/opus/1", "lint/lint/1"]
    assert made.attempts[1].after == (("fix/opus/2",),)
    assert made.attempts[1].start == ("fix/opus/2",)
    assert made.notes[0] == "not recorded, and left out: fix/opus/1"


def test_one_attempt_brings_what_it_starts_from(tmp_path: Path) -> None:
    record(tmp_path, "fix/opus/1", "fix/opus/2", "next/opus/1")
    made = replay_of(started(plan()), tmp_path, AttemptKey("next", "opus"), strict=True)
    assert [str(one.key) for one in made.attempts] == ["fix/opus/1", "fix/opus/2", "next/opus/1"]
    assert all(profile.upstream.strict for profile in made.profiles)
    alone = replay_of(started(plan()), tmp_path, AttemptKey("fix", "opus", 2, 3))
    assert [str(one.key) for one in alone.attempts] == ["fix/opus/2"]
    assert [task.id for task in alone.tasks] == ["fix"]


def test_nothing_recorded_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="the run r was not recorded"):
        replay_of(started(plan()), tmp_path)
    record(tmp_path, "fix/opus/1")
    with pytest.raises(UsageError, match="the attempt fix/opus/2 of the run r was not recorded"):
        replay_of(started(plan()), tmp_path, AttemptKey("fix", "opus", 2))


def test_the_last_try_of_an_attempt_is_played(tmp_path: Path) -> None:
    record(tmp_path, "fix/opus/1", "fix/opus/1.2", "fix/opus/1.3")
    place = recordings(tmp_path, "r")
    for key in (FIX.key, FIX.key.retried()):
        assert recording(place, key) == place / "fix+opus+1.3.jsonl"
    assert recording(place / "fix+opus+1.jsonl", SECOND.key) == place / "fix+opus+1.jsonl"
    assert recording(place, SECOND.key) == place / "fix+opus+2.jsonl"


def test_of_an_attempt_that_was_told_how_it_failed_the_try_before_is_played(tmp_path: Path) -> None:
    record(tmp_path, "fix/opus/1", "fix/opus/1.2", "fix/opus/1.3")
    state = after(
        started(plan()),
        *life("fix/opus/1", "infrastructure"),
        e.AttemptRetried(at=8, attempt="fix/opus/1", why="infrastructure"),
        *life("fix/opus/1.2", "rejected"),
        e.AttemptRetried(at=8, attempt="fix/opus/1.2", why="feedback", told="fix/opus/1.2"),
        *life("fix/opus/1.3", "accepted"),
    )
    made = replay_of(state, tmp_path)
    (access,) = accesses_for(made.profile("opus"), FIX.key, Settings(home=tmp_path))
    assert isinstance(access, Script)
    assert access.transcript.endswith("/fix+opus+1.2.jsonl")
    assert made.task("fix").retry.feedback == 0


def told(replayed: Replayed | None, verdict: str = "accepted") -> RunState:
    """A run whose one attempt told that of its replay."""
    made = make_plan(FIX)
    upstream = Upstream(kind="replay", script="/r.jsonl")
    profiles = tuple(profile.model_copy(update={"upstream": upstream}) for profile in made.profiles)
    events = [
        event.model_copy(update={"replayed": replayed}) if isinstance(event, e.AttemptEnded) else event
        for event in life("fix/opus/1", verdict)
    ]
    return after(started(made.model_copy(update={"profiles": profiles})), *events)


@pytest.mark.parametrize(
    ("replayed", "words", "code"),
    [
        (Replayed(turns=3, reached=3), "as recorded, to the end of its 3 turns", 0),
        (None, "", 0),
        (
            Replayed(turns=3, reached=3, departed=Departure(turn=2, what="recorded 'a', now 'b'")),
            "departed from the recording at turn 2: recorded 'a', now 'b'",
            1,
        ),
        (
            Replayed(turns=3, reached=1),
            "departed from the recording at turn 2: it was recorded, and not asked for any more",
            1,
        ),
        (
            Replayed(turns=1, reached=1, departed=Departure(turn=0, what="x")),
            "departed from the recording beside the conversation: x",
            1,
        ),
    ],
)
def test_what_is_said_of_a_replay(replayed: Replayed | None, words: str, code: int) -> None:
    for verdict in ("accepted", "rejected"):  # which is not asked
        state = told(replayed, verdict)
        (attempt,) = state.attempts.values()
        assert wording.followed(attempt) == words
        assert [exit_code(state, run) for run in (0, 1, 4, 3, 5, 130)] == [code, code, code, 3, 5, 130]
        row = summary.attempt_row(state, attempt)
        assert (row["replayed"] is None) is (replayed is None)
        assert row["scripted"] is True
        assert wording.REPLAYED in report.text_markdown(state)
        assert "a recording plays the model" in summary.who_played(state)


def test_the_first_departure_is_the_one_that_is_kept() -> None:
    first = Departure(turn=2, what="a")
    one = Replayed(turns=5, reached=2, departed=first)
    assert Replayed(turns=5, reached=3).after(one) == Replayed(turns=5, reached=3, departed=first)
    later = Replayed(turns=5, reached=1, departed=Departure(turn=4, what="b"))
    assert later.after(one) == Replayed(turns=5, reached=2, departed=first)
