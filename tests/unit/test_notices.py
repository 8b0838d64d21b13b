"""What people are told of, when, and what needs them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.gateway.grants import Sum
from runner.names import AttemptKey
from runner.recipients import DAY, Quiet, Recipient
from runner.supervisor import events as e
from runner.supervisor.graph.retrying import following
from runner.supervisor.people.flag import NAME, raise_flag
from runner.supervisor.people.notices import (
    NAMED,
    Needs,
    Notice,
    budget_news,
    end_notice,
    message,
    needs_after,
    told_by,
)
from runner.supervisor.people.outbox import GAP, MOST, Outbox
from runner.supervisor.state import RunState, apply
from runner.tasks.plan import Budget, Caps, Plan, PlannedAttempt
from tests.unit.makers import after, life, make_plan, started

NOON = time.mktime((2026, 11, 26, 12, 0, 0, 0, 0, -1))
ONE, TWO = PlannedAttempt(task="one", profile="p"), PlannedAttempt(task="two", profile="p")
BOTH = started(make_plan(ONE, TWO))
HOSTILE = "<!channel> ![x](https://evil.example/) please log in again at evil.example"


def told(state: RunState, *events: e.Event) -> tuple[list[Notice], RunState]:
    """What people are told of these events, and the state after them."""
    notices: list[Notice] = []
    for event in events:
        state = apply(state, event)
        notices += told_by(event, state)
    return notices, state


def needs(state: RunState, *events: e.Event) -> Needs:
    """What needs a person after these events."""
    found: Needs = {}
    for event in events:
        state = apply(state, event)
        found = needs_after(found, event, state)
    return found


@pytest.mark.parametrize("verdict", ["rejected", "timeout", "needs-input", "refused", "oom", "no-change"])
def test_a_task_that_nobody_served_needs_a_person(verdict: str) -> None:
    (notice,), _ = told(BOTH, *life("one/p/1", verdict))
    assert (notice.cause, notice.kind) == ("attention:one/p/1", "attention")
    assert notice.what == f"task one was not served: {verdict}"
    assert notice.more == ("corral show one/p/1 --run r",)
    assert needs(BOTH, *life("one/p/1", verdict)) == {
        "one": f"task one was not served: {verdict} (corral show one/p/1 --run r)"
    }


@pytest.mark.parametrize("verdict", ["accepted", "done", "cancelled"])
def test_what_was_served_or_cancelled_needs_nobody(verdict: str) -> None:
    assert told(BOTH, *life("one/p/1", verdict))[0] == []
    assert needs(BOTH, *life("one/p/1", verdict)) == {}


def test_a_try_that_is_followed_by_another_one_needs_nobody() -> None:
    assert told(BOTH, *life("one/p/1", "infrastructure", again=True))[0] == []
    again, _ = told(
        BOTH, *life("one/p/1", "infrastructure", again=True), *life("one/p/1.2", "infrastructure")
    )
    assert [notice.cause for notice in again] == ["attention:one/p/1.2"]


def test_a_task_that_is_tried_again_by_itself_needs_nobody_until_that_is_over() -> None:
    lost = life("one/p/1", "infrastructure")
    notices, state = told(BOTH, *lost)
    retried = following(state, AttemptKey("one", "p"), 7)
    assert retried is not None
    assert (notices, needs(BOTH, *lost)) == ([], {})
    times = 1
    while retried is not None:
        times += 1
        more, state = told(state, retried, *life(f"one/p/1.{times}", "infrastructure"))
        notices += more
        retried = following(state, AttemptKey("one", "p"), 7)
    assert [notice.cause for notice in notices] == [f"attention:one/p/1.{times}"]


def test_what_a_person_decided_needs_nobody_any_more() -> None:
    failed = life("one/p/1", "timeout")
    assert list(needs(BOTH, *failed)) == ["one"]
    assert needs(BOTH, *failed, e.TaskDecided(at=9, task="one", what="skip")) == {}
    used = e.TaskDecided(at=9, task="one", what="use", attempt="one/p/1")
    assert needs(BOTH, *failed, used) == {}


def test_a_question_stands_until_it_is_answered_and_is_not_quoted() -> None:
    question = {"at": 3, "attempt": "one/p/1", "file": "q.json", "to": "person", "type": "question"}
    asks = e.RunMail.model_validate({**question, "payload": HOSTILE})
    (notice,), state = told(BOTH, asks)
    assert notice.what == "one/p/1 asks you something (corral inbox)"
    (number,) = [one.id for one in state.mail.open_questions()]
    assert list(needs(BOTH, asks).values()) == [notice.what]
    assert needs(BOTH, asks, e.RunAnswer(at=4, question=number, text="yes")) == {}
    again = e.AttemptRetried(at=5, attempt="one/p/1", why="person")
    assert needs(BOTH, asks, *life("one/p/1", "needs-input"), again) == {}, "the next try may ask it itself"
    assert needs(BOTH, asks, *life("one/p/1", "accepted")) == {}, "it managed without"
    assert len(needs(BOTH, asks, *life("one/p/1", "needs-input"))) == 2
    refused = asks.model_copy(update={"refused": "it is too long"})
    assert told(BOTH, refused)[0] == []


def test_of_several_attempts_of_a_task_all_must_fail_it() -> None:
    state = started(make_plan(ONE, PlannedAttempt(task="one", profile="q")))
    notices, _ = told(state, *life("one/p/1", "rejected"))
    assert notices == []
    notices, _ = told(state, *life("one/p/1", "rejected"), *life("one/q/1", "accepted"))
    assert notices == []
    notices, _ = told(state, *life("one/p/1", "rejected"), *life("one/q/1", "rejected"))
    assert [notice.cause for notice in notices] == ["attention:one/q/1"]


def test_what_ended_with_the_run_is_told_with_the_run() -> None:
    over = after(BOTH, e.RunOver(at=2, until=2))
    assert told(over, *life("one/p/1", "timeout"))[0] == []


def test_a_task_that_is_tried_again_needs_nobody_meanwhile() -> None:
    again = life("one/p/1", "rejected") + life("one/p/1.2", "rejected")[:1]
    assert needs(BOTH, *again) == {}


def test_no_notice_holds_a_word_of_a_box() -> None:
    """Neither what an agent reports, nor why its work was refused, nor what it says it does."""
    events = life("one/p/1", "agent-error")
    events[2] = events[2].model_copy(update={"reason": HOSTILE, "flags": (HOSTILE,)})
    events[3] = events[3].model_copy(update={"reason": HOSTILE})
    signs = e.Signs(at=3, attempt="one/p/1", stage="running", doing=HOSTILE)
    notices, state = told(BOTH, *events[:2], signs, *events[2:])
    end = end_notice(state, 1, NOON)
    texts = [*message("r", tuple(notices)), *message("r", (*notices, end)), *needs(BOTH, *events).values()]
    assert not any("evil" in text or "<" in text for text in texts)


def test_a_refused_key_breaks_through_and_stands_until_it_is_taken() -> None:
    held = {"at": 3, "attempt": "one/p/1", "stage": "running", "held": "the key of work is refused"}
    waits = e.Signs.model_validate({**held, "held_kind": "credential"})
    (notice,), _ = told(BOTH, waits)
    assert (notice.kind, notice.urgent) == ("attention", True)
    quoted = waits.model_copy(update={"held": f"anthropic, account work: HTTP 401, bad key sk-12 {HOSTILE}"})
    (said,), _ = told(BOTH, quoted)
    assert said.what == "agents wait for a key: anthropic, account work: HTTP 401"
    assert list(needs(BOTH, quoted).values()) == [
        "one/p/1 waits for a key: anthropic, account work: HTTP 401"
    ]
    assert list(needs(BOTH, waits)) == ["key in one/p/1"]
    goes_on = e.Signs(at=4, attempt="one/p/1", stage="running")
    assert needs(BOTH, waits, goes_on) == {}
    assert needs(BOTH, waits, *life("one/p/1", "done")[2:3]) == {}
    paced = e.Signs.model_validate({**held, "held_kind": "pace"})
    assert told(BOTH, paced)[0] == []


def test_a_condition_that_needs_a_person_stands_until_it_is_over() -> None:
    hung = e.AttemptAttention(at=3, attempt="one/p/1", condition="waiting-for-a-person", why=HOSTILE)
    (notice,), _ = told(BOTH, hung)
    assert (notice.what, notice.urgent) == ("one/p/1 is waiting for a person", False)
    still = e.Signs(at=4, attempt="one/p/1", stage="running", condition="waiting-for-a-person")
    other = e.Signs(at=4, attempt="two/p/1", stage="running", condition="working")
    assert list(needs(BOTH, hung, still, other).values()) == [
        "one/p/1 is waiting for a person (corral logs one/p/1 --run r)"
    ]
    assert needs(BOTH, hung, still.model_copy(update={"condition": "working"})) == {}
    assert needs(BOTH, hung, *life("one/p/1", "done")[2:3]) == {}


def shut(*profiles: str, until: float, **given: Any) -> e.WindowsChanged:
    """These profiles wait for a window."""
    rows = tuple(
        e.Shut(profile=profile, window="the 5-hour window of anthropic", since=NOON, until=until, **given)
        for profile in profiles
    )
    return e.WindowsChanged(at=NOON, shut=rows)


def test_a_closed_window_is_one_notice_whoever_waits_for_it() -> None:
    (notice,), state = told(BOTH, shut("p", "q", until=NOON + 7200))
    assert notice.what == "the 5-hour window of anthropic is used up until 14:00 (in 2h); p, q wait for it"
    (again,), _ = told(state, shut("p", until=NOON + 7210))
    assert again.cause == notice.cause, "told a little later by another answer, it is the same"
    (later,), _ = told(state, shut("p", until=NOON + 7 * 3600))
    assert later.cause != notice.cause
    (stops,), _ = told(state, shut("p", until=NOON + 7200, for_good=True))
    assert stops.what.endswith("p starts nothing more")


def with_budget(**caps: Caps) -> RunState:
    """A run with a budget."""
    plan = Plan.model_validate(make_plan(ONE).model_dump() | {"budget": Budget(**caps).model_dump()})
    return started(plan)


def test_most_of_a_shared_budget_is_told_once() -> None:
    state = with_budget(run=Caps(usd=60, tokens=1000), attempt=Caps(usd=1))
    assert list(budget_news(state, {"run": Sum(usd=47.9, tokens=10)}, 1)) == []
    assert list(budget_news(state, {"attempt": Sum(usd=47.9)}, 1)) == []
    (news,) = budget_news(state, {"run": Sum(usd=48.5, tokens=10)}, 1)
    (notice,), state = told(state, news)
    assert notice.what == "81% of the budget of the run is spent: $48.50 of $60.00"
    assert list(budget_news(state, {"run": Sum(usd=59, tokens=10)}, 1)) == []
    (tokens,) = budget_news(state, {"run": Sum(usd=59, tokens=800)}, 1)
    assert told(state, tokens)[0][0].what == "80% of the budget of the run is spent: 800 of 1,000 tokens"


def test_a_spent_budget_is_told_once_whoever_saw_it() -> None:
    events = life("one/p/1", "over-budget") + life("two/p/1", "over-budget")
    spent = [
        event.model_copy(update={"spent": "run"}) if isinstance(event, e.AttemptEnded) else event
        for event in events
    ]
    notices, _ = told(BOTH, *spent)
    assert [n.cause for n in notices if n.kind == "budget"] == ["spent:run"] * 2


def test_the_budget_of_another_day_is_told_anew() -> None:
    causes = set()
    for at in (NOON, NOON + 86400):
        warned = e.BudgetUsed(at=at, whose="day", unit="usd", used=9, cap=10)
        ended = [event.model_copy(update={"at": at}) for event in life("one/p/1", "over-budget")]
        spent = [
            event.model_copy(update={"spent": "day"}) if isinstance(event, e.AttemptEnded) else event
            for event in ended
        ]
        causes |= {notice.cause for notice in told(BOTH, warned, *spent)[0] if notice.kind == "budget"}
    assert len(causes) == 4


def test_an_end_is_one_notice_until_something_more_was_done() -> None:
    ended = after(BOTH, *life("one/p/1", "accepted"))
    cause = end_notice(ended, 0, NOON).cause
    assert end_notice(after(ended, e.RunResumed(at=9, jobs=2)), 0, NOON + 86400).cause == cause
    more = after(ended, *life("two/p/1", "accepted"))
    over = after(ended, e.RunEnded(at=9, exit_code=0))
    assert len({cause, end_notice(more, 0, NOON).cause, end_notice(over, 0, NOON).cause}) == 3


def test_the_end_says_what_was_served_what_needs_a_decision_and_the_cost() -> None:
    three = started(make_plan(ONE, TWO, PlannedAttempt(task="three", profile="p")))
    state = after(three, *life("one/p/1", "accepted"), *life("two/p/1", "rejected"))
    notice = end_notice(state, 4, 1 + 7200)
    assert (notice.what, notice.kind) == ("1 of 3 tasks served", "end")
    assert notice.more == (
        "It took 2h and cost $0.00.",
        "Needs a decision: two (rejected)",
        "Not started: three",
        "corral report r",
    )
    ended = life("one/p/1", "done")
    ended[2] = ended[2].model_copy(update={"input_tokens": 5, "usd": None})
    assert "cost nobody knows what" in end_notice(after(three, *ended), 0, 9).more[0]
    paid = life("two/p/1", "done")
    paid[2] = paid[2].model_copy(update={"input_tokens": 5, "usd": 3.2})
    cost = end_notice(after(three, *ended, *paid), 0, 9).more[0]
    assert cost.endswith("at least $3.20 (of 1 of the attempts it is not known).")


def test_a_great_many_tasks_are_counted() -> None:
    state = started(make_plan(*(PlannedAttempt(task=f"t{n}", profile="p") for n in range(100))))
    (listed,) = [line for line in end_notice(state, 4, 9).more if line.startswith("Not started")]
    assert listed.endswith(f"and {100 - NAMED} more")


# -- quiet hours and the outbox


@given(st.integers(0, DAY - 1), st.integers(1, DAY - 1), st.floats(0, 86399))
def test_quiet_hours_end_when_they_say(begin: int, lasts: int, after_midnight: float) -> None:
    quiet = Quiet(begin=begin, end=(begin + lasts) % DAY)
    now = NOON - 12 * 3600 + after_midnight
    inside = (after_midnight / 60 - begin) % DAY < lasts
    ends = quiet.ends(now)
    assert (ends is not None) == inside
    if ends is not None:
        assert now < ends <= now + lasts * 60
        assert quiet.ends(ends) is None
        assert time.strftime("%H:%M", time.localtime(ends)) == str(quiet)[6:]


def notice(number: int, *, urgent: bool = False) -> Notice:
    """A notice like no other."""
    return Notice(f"c{number}", "attention", f"thing {number}", urgent=urgent)


STEPS = st.lists(
    st.tuples(st.floats(1, 3600), st.sampled_from(["put", "urgent", "arrives", "fails", "nothing"])),
    max_size=25,
)


@given(STEPS, st.booleans())
def test_all_is_told_once_and_nothing_in_quiet_hours_but_what_is_urgent(
    steps: list[tuple[float, str]], has_quiet: bool
) -> None:
    quiet = Quiet(begin=13 * 60, end=15 * 60) if has_quiet else None
    box, now, wall = Outbox(Recipient(name="phone", quiet=quiet)), 0.0, NOON
    put: list[str] = []
    arrived: list[str] = []
    last_sent = -GAP
    for seconds, what in [*steps, *[(86400.0, "arrives")] * 3]:
        now, wall = now + seconds, wall + seconds
        if what in {"put", "urgent"}:
            box = box.put(notice(len(put), urgent=what == "urgent"), now)
            put.append(f"c{len(put)}")
        if box.under_way and what == "arrives":
            arrived += [one.cause for one in box.waiting[: box.under_way]]
            box, last_sent = box.sent(now), now
        elif box.under_way and what == "fails":
            box = box.failed(now)
        if box.due(now, wall):
            urgent = any(one.urgent for one in box.waiting)
            assert urgent or quiet is None or quiet.ends(wall) is None
            assert urgent or now - last_sent >= GAP
            box = box.sending()
    while box.waiting:
        if not box.under_way:
            now, wall = now + 86400, wall + 3600
            assert box.due(now, wall) or (quiet is not None and quiet.ends(wall) is not None)
            box = box.sending() if box.due(now, wall) else box
            continue
        arrived += [one.cause for one in box.waiting[: box.under_way]]
        box = box.sent(now)
    assert len(arrived) == len(set(arrived))
    assert set(arrived) <= set(put)
    assert len(arrived) == len(put), "all of them, where so few came"


def test_a_box_holds_no_more_than_it_should_and_says_how_many_it_left_out() -> None:
    box = Outbox(Recipient(name="phone"))
    for number in range(2 * MOST):
        box = box.put(notice(number), 0)
    assert (len(box.waiting), box.left_out) == (MOST, MOST)
    title, body = message("night", box.waiting, box.left_out)
    assert title == f"Corral, run night: {2 * MOST} things to know"
    assert body.splitlines()[-1] == f"- and {MOST} more"
    box = box.sending()
    for number in range(100, 300):
        box = box.put(notice(number), 0)
    assert len(box.waiting) <= 2 * MOST
    assert len(box.failed(0).waiting) == MOST


def test_who_wants_only_some_things_gets_only_those() -> None:
    box = Outbox(Recipient(name="phone", on=("end",)))
    assert box.put(notice(1), 0).waiting == ()
    assert box.put(Notice("end:1", "end", "all"), 0).waiting != ()


def test_a_window_that_opened_meanwhile_is_not_told_any_more() -> None:
    box = (
        Outbox(Recipient(name="phone")).put(Notice("w", "window", "closed", until=NOON), 0).put(notice(1), 0)
    )
    assert [one.cause for one in box.worth_it(NOON - 1).waiting] == ["w", "c1"]
    assert [one.cause for one in box.worth_it(NOON + 1).waiting] == ["c1"]


def test_the_end_is_told_with_what_was_held_back() -> None:
    end = Notice("end:1", "end", "1 of 2 tasks served", ("It took 2h.",))
    assert message("night", (notice(1), end)) == (
        "Corral, run night: 1 of 2 tasks served",
        "It took 2h.\n- thing 1",
    )
    assert message("night", (notice(1),)) == ("Corral, run night: thing 1", "thing 1")


# -- the flag


def test_the_flag_is_there_while_anything_needs_a_person(tmp_path: Path) -> None:
    flag = tmp_path / NAME
    raise_flag(tmp_path, "a", [])
    assert not flag.exists()
    raise_flag(tmp_path, "a", ["this", "that"])
    raise_flag(tmp_path, "a-b", ["more"])
    assert flag.read_text() == "a: this\na: that\na-b: more\n"
    raise_flag(tmp_path, "a", ["that"])
    assert flag.read_text() == "a-b: more\na: that\n"
    raise_flag(tmp_path, "a-b", [])
    raise_flag(tmp_path, "a", [])
    assert not flag.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["locks"]


def test_a_flag_that_can_not_be_written_disturbs_nobody(tmp_path: Path) -> None:
    (tmp_path / NAME).mkdir()
    raise_flag(tmp_path, "a", ["this"])


def test_what_was_told_is_folded_from_the_journal() -> None:
    state = after(
        BOTH,
        e.Notified(at=1, recipient="phone", failed="the service can't be reached"),
        e.Notified(at=2, recipient="mail", causes=("attention:one/p/1",)),
    )
    assert state.notified == {("mail", "attention:one/p/1")}
    assert state.untold == {"phone": "the service can't be reached"}
    assert after(state, e.Notified(at=3, recipient="phone", causes=("x",))).untold == {}
