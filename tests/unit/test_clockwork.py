"""What the clock brings about in a run: nothing that anybody does to the wall clock changes it."""

from __future__ import annotations

import io
import time
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console, RenderableType

from runner.errors import UsageError
from runner.names import AttemptKey
from runner.supervisor import events as e
from runner.supervisor.clockwork import LOOK, Clockwork, too_late
from runner.supervisor.deadline import Clocks, end_of_run, start_of_run
from runner.supervisor.ending import exit_code, still_ahead
from runner.supervisor.graph.schedule import NO_TIME, decide, finished
from runner.supervisor.state import RunState, apply, begin
from runner.tasks.plan import PlannedAttempt
from runner.views import live, report, summary
from tests.unit.makers import after, life, make_plan

NOON = time.mktime((2026, 11, 26, 12, 0, 0, 0, 0, -1))
HOUR = 3600.0
ONE, TWO = PlannedAttempt(task="one", profile="p"), PlannedAttempt(task="two", profile="p")


@dataclass
class Jumping:
    """Two clocks: the one on the wall is set by somebody now and then."""

    steady: float = 500.0
    wall: float = NOON

    def passes(self, seconds: float) -> None:
        """Let time pass."""
        self.steady += seconds
        self.wall += seconds

    @property
    def clocks(self) -> Clocks:
        """As the supervisor reads them."""
        return Clocks(lambda: self.steady, lambda: self.wall)


def run(*attempts: PlannedAttempt, **given: Any) -> RunState:
    """The state of a run just after its start, its image ready."""
    state = begin("r", e.RunStarted(at=NOON, plan=make_plan(*(attempts or (ONE,))), jobs=2, **given))
    return apply(state, e.ImageReady(at=NOON, source=0, cli=None, image="sha256:1"))


def heard(clock: Clockwork, state: RunState) -> tuple[list[e.Event], RunState]:
    """What the clock brings, and the state after it."""
    news = list(clock.news(state))
    return news, after(state, *news)


@given(
    st.floats(0, 8 * HOUR),
    st.floats(1, 12 * HOUR),
    st.lists(st.tuples(st.floats(0, HOUR), st.sampled_from([0, 6 * HOUR, -6 * HOUR])), max_size=30),
)
def test_jumps_of_the_wall_clock_move_neither_start_nor_end(
    starts: float, lasts: float, story: list[tuple[float, float]]
) -> None:
    """They come when so much time has passed, whatever the wall says, each once."""
    host = Jumping()
    state = run(starts=NOON + starts, until=NOON + starts + lasts)
    clock = Clockwork(state, host.clocks)
    passed, seen = 0.0, []
    for seconds, jump in story:
        host.passes(seconds)
        host.wall += jump
        passed += seconds
        news, state = heard(clock, state)
        seen += [event.kind for event in news]
        if abs(passed - starts) > 1e-3:
            assert state.begun == (passed >= starts)
        if abs(passed - starts - lasts) > 1e-3:
            assert state.over == (passed >= starts + lasts)
    assert len(seen) == len(set(seen))


def test_before_its_start_nothing_is_started_and_it_says_until_when() -> None:
    host, state = Jumping(), run(starts=NOON + HOUR)
    clock = Clockwork(state, host.clocks)
    assert heard(clock, state)[0] == []
    (waits,) = decide(state, 2)
    assert (waits.standing, waits.why, waits.until) == ("wait", "for the run's start", NOON + HOUR)
    assert not finished(state)
    host.passes(HOUR)
    news, state = heard(clock, state)
    assert [event.kind for event in news] == ["run.began"]
    assert decide(state, 2)[0].standing == "start"


def test_who_waits_for_its_start_can_be_stopped_at_once() -> None:
    state = apply(run(starts=NOON + HOUR), e.Draining(at=NOON))
    assert finished(state)


def test_a_resumed_run_still_waits_for_its_start() -> None:
    state = apply(run(starts=NOON + HOUR), e.RunResumed(at=NOON + 60, jobs=2))
    host = Jumping(steady=7.0, wall=NOON + 60)
    clock = Clockwork(state, host.clocks)
    assert heard(clock, state)[0] == []
    host.passes(HOUR - 60)
    assert heard(clock, state)[1].begun


def test_a_start_that_passed_while_nobody_worked_on_the_run_is_now() -> None:
    state = apply(run(starts=NOON + HOUR), e.RunResumed(at=NOON + 2 * HOUR, jobs=2))
    assert heard(Clockwork(state, Jumping(wall=NOON + 2 * HOUR).clocks), state)[1].begun


def test_what_a_day_s_budget_was_spent_for_is_forgotten_at_midnight_alone() -> None:
    host = Jumping(wall=NOON + 11 * HOUR)
    state = after(run(), e.BudgetUsed(at=host.wall, whose="day", unit="usd", used=9, cap=10))
    clock = Clockwork(state, host.clocks)
    host.passes(HOUR - 1)
    assert heard(clock, state)[0] == []
    host.passes(1)
    news, state = heard(clock, state)
    assert [event.kind for event in news] == ["run.day"]
    assert state.warned == frozenset()
    assert heard(clock, state)[0] == []


def test_what_would_not_be_done_in_time_is_not_started_and_says_why() -> None:
    host = Jumping()
    state = run(ONE, TWO, until=NOON + HOUR, takes={"one/p": 40 * 60.0})
    clock = Clockwork(state, host.clocks)
    assert heard(clock, state)[0] == []
    host.passes(35 * 60)
    news, state = heard(clock, state)
    assert [event.kind for event in news] == ["run.late"]
    one, two = decide(state, 2)
    assert (one.standing, one.why) == ("held", f"{NO_TIME}: it takes about 40min, 25min are left")
    assert two.standing == "start", "nobody knows how long it takes"
    state = after(state, *life("two/p/1", "done"))
    assert finished(state), "nobody waits for the end with nothing to do"
    assert exit_code(state) == 4
    host.passes(LOOK)
    assert heard(clock, state)[0] == [], "it is told once"


def test_what_needs_what_is_too_late_is_held_too() -> None:
    chained = PlannedAttempt(task="two", profile="p", after=(("one/p/1",),))
    state = run(ONE, chained, until=NOON + 60, takes={"one/p": 90.0})
    state = after(state, e.TooLate(at=NOON, late=tuple(too_late(state, 60))))
    assert [decision.standing for decision in decide(state, 2)] == ["held", "held"]


def test_what_runs_already_is_never_too_late() -> None:
    state = run(ONE, until=NOON + HOUR, takes={"one/p": 2 * HOUR})
    state = after(state, *life("one/p/1", "done")[:2])
    assert list(too_late(state, 60)) == []


def test_a_run_that_waits_for_its_start_has_all_its_time_left() -> None:
    host = Jumping()
    state = run(starts=NOON + 8 * HOUR, until=NOON + 9 * HOUR, takes={"one/p": 90 * 60.0})
    (late,) = [event for event in Clockwork(state, host.clocks).news(state) if isinstance(event, e.TooLate)]
    assert late.late[0].left == HOUR
    fits = run(starts=NOON + 8 * HOUR, until=NOON + 9 * HOUR, takes={"one/p": 50 * 60.0})
    assert list(Clockwork(fits, host.clocks).news(fits)) == []


def test_a_later_end_gives_time_again() -> None:
    state = run(ONE, until=NOON + 60, takes={"one/p": 90.0})
    state = after(state, e.TooLate(at=NOON, late=tuple(too_late(state, 60))))
    state = apply(state, e.RunResumed(at=NOON, jobs=2, until=NOON + HOUR, takes={"one/p": 90.0}))
    assert state.late_for(AttemptKey("one", "p")) is None


@pytest.mark.parametrize(("text", "hours"), [("23:00", 11), ("12:00", 24), ("07:30", 19.5), (None, None)])
def test_a_run_starts_at_the_next_such_time(text: str | None, hours: float | None) -> None:
    assert start_of_run(text, NOON) == (None if hours is None else NOON + hours * HOUR)


@pytest.mark.parametrize("text", ["23", "24:00", "in 2h", ""])
def test_what_is_no_start_is_refused_with_a_cure(text: str) -> None:
    with pytest.raises(UsageError) as refused:
        start_of_run(text, NOON)
    assert "--start 23:00" in (refused.value.cure or "")


def test_the_end_counts_from_the_start() -> None:
    starts = start_of_run("23:00", NOON)
    assert starts is not None
    assert end_of_run(None, "6h", starts) == NOON + 17 * HOUR
    assert end_of_run("07:00", None, starts) == NOON + 19 * HOUR
    assert end_of_run("22:00", None, starts) == NOON + 34 * HOUR, "the next one after it"


def test_an_older_journal_says_nothing_of_starts() -> None:
    told = e.RunStarted(at=NOON, plan=make_plan(ONE), jobs=1).model_dump(exclude={"starts", "takes"})
    state = begin("r", e.RunStarted.model_validate(told))
    assert (state.begun, state.starts, dict(state.takes)) == (True, None, {})
    assert still_ahead(state, NOON) is None


# -- how it is shown


def shown(drawn: RenderableType) -> str:
    """What a person sees, a line each."""
    console = Console(width=200, file=io.StringIO())
    console.print(drawn)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_run_that_waits_shows_until_when() -> None:
    state = run(starts=NOON + HOUR, until=NOON + 3 * HOUR)
    picture = shown(live.draw(state, {}, "", NOON))
    assert "starts 13:00 (in 1h)" in picture
    assert "ends 15:00 (in 3h)" in picture
    assert "for the run's start (in 1h)" in picture
    row = summary.summary(state)
    assert (row["starts"], row["until"]) == (NOON + HOUR, NOON + 3 * HOUR)


def test_what_the_clock_and_people_brought_is_told_in_a_line() -> None:
    plan = make_plan(ONE, TWO)
    start = e.RunStarted(at=NOON, plan=plan, jobs=2, starts=NOON + HOUR, until=NOON + 3 * HOUR)
    too_little = "it takes about 40min, 25min are left, and 1 more with as little time"
    late = tuple(e.Late(task=task, profile="p", takes=2400, left=1500) for task in ("one", "two"))
    spent = e.BudgetUsed(at=NOON, whose="run", unit="usd", used=48, cap=60)
    told: list[tuple[e.Event, str]] = [
        (start, "run r: 2 attempts, 2 at once, to start 13:00, to end 15:00"),
        (e.RunBegan(at=NOON), "the run's start came"),
        (e.DayBegan(at=NOON), "a new day began, with a budget of its own"),
        (
            e.TooLate(at=NOON, late=late),
            f"one/p is not started any more: {too_little}",
        ),
        (spent, "80% of the budget of the run is spent"),
        (e.Notified(at=NOON, recipient="phone", failed="no"), "phone could not be told: no"),
    ]
    state = begin("r", start)
    for event, words in told:
        assert str(live.sentence(event, state)) == words
    assert live.sentence(e.Notified(at=NOON, recipient="phone", causes=("x",)), state) is None


def test_the_report_says_what_was_too_late_and_who_was_not_told() -> None:
    state = run(ONE, until=NOON + 60, takes={"one/p": 90.0})
    state = after(
        state,
        e.TooLate(at=NOON, late=tuple(too_late(state, 60))),
        e.Notified(at=NOON, recipient="phone", failed="the service can't be reached"),
        e.RunEnded(at=NOON + 5, exit_code=4),
    )
    words = shown(report.terminal(state))
    assert "it would not be done before the run's end: it takes about 2min, 1min is left" in words
    assert "note: phone could not be told: the service can't be reached" in words
    assert "corral resume r" in shown(report.next_steps(state))
    assert summary.summary(state)["untold"] == {"phone": "the service can't be reached"}
