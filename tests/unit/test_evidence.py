"""What the audit needs is noted as it happens, and comes out of a run's state whole."""

from __future__ import annotations

import json

import pytest

from runner.agents.seeking import Sought
from runner.compare.facts import Contact, Sign
from runner.gateway.booking.meter import MOST_MODELS, OTHERS, Meter
from runner.gateway.dialects.anthropic import BodyUsage
from runner.gateway.egress.audit import Attempt
from runner.gateway.flow import MOST_HOSTS, Totals
from runner.gateway.grants import Answered, Tokens, Traffic, Usage
from runner.gateway.grants import Contact as Told
from runner.gather import tampering
from runner.names import AttemptKey
from runner.supervisor import events as e
from runner.supervisor.attempt.samples import Used
from runner.supervisor.events import ADAPTER
from runner.supervisor.graph.schedule import Agenda
from runner.supervisor.host.facts import Host
from runner.supervisor.host.weather import GAP, Almanac, Weather
from runner.supervisor.morning.evidence import facts_of
from runner.supervisor.state import RunState
from runner.tasks.plan import ClaudeSettings, Plan, PlannedAttempt
from runner.views import fairness, report
from tests.unit.makers import BASE, after, life, make_plan, started
from tests.unit.test_views import drawn

A, B = AttemptKey("t", "a", 1), AttemptKey("t", "b", 1)
ENDED = e.AttemptEnded(
    at=4,
    attempt="t/a/1",
    ended="exited",
    seconds=100,
    held_s=5,
    used=Used(throttled=0.5, memory_waited=30.0, oom_kills=2),
    input_tokens=10,
    cache_read_tokens=90,
    cache_write_tokens=0,
    models={"claude-opus-4-5-20251101": Tokens(output=7)},
    answered=(Answered(asked="claude-opus-4-5", named="claude-haiku-4-5", requests=2),),
    egress=Traffic(allowed=1, hosts=(Told(host="pypi.org", allowed=1),)),
    weather=Weather(seconds=90, load=2.5, beside=3, least_free=0.2),
    sought=(Sought(where="history", command="git reflog"),),
    flags=("disk-short",),
)
SIGN = tampering.Sign(kind="test-deleted", path="tests/test_a.py", what="test_a")
LIFE = (
    e.AttemptStarted(
        at=2, attempt="t/a/1", box="0" * 12, base=BASE, image="sha256:1", version="2", queued_s=9
    ),
    e.BoxStarted(at=3, attempt="t/a/1", container="c"),
    e.AttemptFrozen(at=3, attempt="t/a/1", why="x"),
    e.AttemptThawed(at=3, attempt="t/a/1"),
    e.AttemptFrozen(at=3, attempt="t/a/1", why="x", by="person"),
    ENDED,
    e.AttemptGathered(at=5, attempt="t/a/1", work="gathered", commit="b" * 40, branch="x", signs=(SIGN,)),
    e.AttemptChecked(at=6, attempt="t/a/1", check="passed", flags=("check-steered: x",)),
    e.AttemptFinal(at=7, attempt="t/a/1", verdict="accepted"),
)


def compared() -> Plan:
    plan = make_plan(PlannedAttempt(task="t", profile="a"), PlannedAttempt(task="t", profile="b"))
    first = plan.profiles[0].model_copy(update={"settings": ClaudeSettings(model="claude-opus-4-5")})
    tasks = tuple(task.model_copy(update={"compared": True}) for task in plan.tasks)
    return plan.model_copy(
        update={"profiles": (first, plan.profiles[1]), "tasks": tasks, "compared": ("a", "b")}
    )


@pytest.fixture
def state() -> RunState:
    return after(started(compared()), *LIFE, *life("t/b/1", "accepted"))


def test_all_that_was_noted_reaches_the_audit(state: RunState) -> None:
    mine, theirs = facts_of(state)
    assert (mine.attempt, mine.accepted, mine.exited, mine.checked) == ("t/a/1", True, True, "passed")
    assert (mine.queued_s, mine.held_s, mine.froze, mine.boxes) == (9, 5, 1, 1)
    assert (mine.throttled, mine.memory_waited, mine.oom_kills) == (0.5, 30.0, 2)
    assert (mine.load, mine.beside, mine.least_free) == (2.5, 3, 0.2)
    assert (mine.version, mine.image, mine.asks) == ("2", "sha256:1", "claude-opus-4-5")
    assert (mine.models, mine.cached) == ({"claude-opus-4-5-20251101": 7}, 0.9)
    assert mine.answered == (("claude-opus-4-5", "claude-haiku-4-5", 2),)
    assert mine.contacts == (Contact("pypi.org", 1, 0),)
    assert mine.sought == (("history", "git reflog"),)
    assert mine.signs == (Sign("test-deleted", "tests/test_a.py", "test_a"),)
    assert mine.flags == ("disk-short", "check-steered: x")
    assert not mine.allowed.full_disk
    assert (theirs.throttled, theirs.load, theirs.signs, theirs.sought) == (None, None, None, None)


def test_it_is_kept_as_it_was_noted() -> None:
    for event in LIFE:
        assert ADAPTER.validate_json(event.model_dump_json()) == event


def test_what_an_earlier_version_noted_is_read_and_lacks_nothing_but_this() -> None:
    old = {"kind": "attempt.ended", "at": 1, "attempt": "t/a/1", "ended": "exited"}
    event = ADAPTER.validate_python(old)
    assert isinstance(event, e.AttemptEnded)
    assert (event.models, event.egress, event.weather, event.sought) == (None, None, None, None)


def test_an_agent_that_asks_nobody_in_a_box_without_network_reached_nothing() -> None:
    plan = make_plan(PlannedAttempt(task="t", profile="a"))
    (known,) = facts_of(after(started(plan), *life("t/a/1", "accepted")))
    assert known.contacts == ()
    (known,) = facts_of(after(started(plan), *life("t/a/1", "no-change")))
    assert known.signs == ()


def test_the_version_that_an_image_was_made_with_is_that_of_its_attempts() -> None:
    ready = e.ImageReady(at=1, source=0, cli="claude", image="sha256:2", version="2.1")
    assert after(started(make_plan(PlannedAttempt(task="t", profile="a"))), ready).versions == {
        "sha256:2": "2.1"
    }


def test_people_and_programs_are_told(state: RunState) -> None:
    shown = drawn(report.terminal(state), 200)
    assert "was it fair?" in shown
    assert "cheating test-deleted  t/a/1: it removed tests" in shown
    assert "not counted as accepted, since they cheated: t/a/1" in shown
    assert "0 of 1 pair may be compared" in shown
    assert "| unfair | model-fallback |" in report.text_markdown(state)
    told = fairness.as_json(fairness.audit(state))
    assert json.loads(json.dumps(told)) == told
    assert told["discounted"] == {
        "t/a/1": "check-steered: x; test-deleted: it removed tests: tests/test_a.py: test_a"
    }


def test_a_run_that_compares_nothing_and_was_plain_has_no_such_section() -> None:
    plan = make_plan(PlannedAttempt(task="t", profile="a"))
    (first, *rest) = life("t/a/1", "done")
    assert "was it fair?" not in drawn(report.terminal(after(started(plan), first, *rest)), 200)


# -- by whom it is noted


def host(load: float | None, free: int | None) -> Host:
    return Host(cores=2, memory_total=100, memory_free=free, disk_free=1, load=load)


def test_the_weather_is_the_mean_of_what_an_attempt_lived_through() -> None:
    almanac = Almanac()
    almanac.look(0, host(9, 1), (), 0)
    almanac.look(1, host(2, 50), (A,), 0)
    almanac.look(2, host(4, 20), (A, B), 1)
    assert almanac.of(A) == Weather(seconds=2, load=1.5, beside=1.0, least_free=0.2)
    assert almanac.of(B) == Weather(seconds=1, load=2.0, beside=2.0, least_free=0.2)
    almanac.look(1000, host(None, None), (B,), 0)
    assert almanac.of(A) is None
    assert almanac.of(B) == Weather(seconds=1 + GAP, load=2.0, beside=0.33, least_free=0.2)


def test_how_long_one_waited_for_its_place_is_known_and_not_what_it_waited_for_before() -> None:
    now = 100.0
    plan = make_plan(*(PlannedAttempt(task=t, profile="a") for t in "tu"))
    state = started(plan, image=False)
    agenda = Agenda(state, lambda: now)
    now = 200.0
    state = after(state, e.ImageReady(at=1, source=0, cli=None, image="sha256:1"))
    agenda.follow(state)
    now = 205.0
    assert [one.waited for one in agenda.due(1) if one.standing == "start"] == [5.0]
    state = after(state, *life("t/a/1", "accepted"))
    agenda.follow(state)
    now = 230.0
    assert [(str(one.key), one.waited) for one in agenda.due(1)] == [("u/a/1", 30.0)]


def reply(model: str) -> bytes:
    return json.dumps({"model": model, "usage": {"input_tokens": 1, "output_tokens": 2}}).encode()


def test_who_answered_for_whom_is_counted_within_bounds() -> None:
    meter = Meter(scripted=False)
    for asked, named in [("opus", "opus-1"), ("opus", "haiku"), ("opus", "haiku"), ("", "x")]:
        with meter.reading(BodyUsage(), asked) as reader:
            assert reader is not None
            reader.feed(reply(named))
    found = {(one.asked, one.named): one.requests for one in meter.usage().answered}
    assert found == {("opus", "opus-1"): 1, ("opus", "haiku"): 2}
    assert Meter.continuing(meter.usage(), scripted=False).usage().answered == meter.usage().answered
    for n in range(2 * MOST_MODELS):
        with meter.reading(BodyUsage(), f"m{n}") as reader:
            assert reader is not None
            reader.feed(reply("y"))
    answered = meter.usage().answered
    assert len(answered) == MOST_MODELS + 1
    assert Answered(asked=OTHERS, named=OTHERS, requests=MOST_MODELS + 2) in answered


def tried(host: str, port: int | None = None, *, allowed: bool = False) -> Attempt:
    return Attempt("0" * 12, 1, "CONNECT", host, port, allowed=allowed)


def test_hosts_are_counted_by_name_within_bounds() -> None:
    totals = Totals()
    for one in (
        tried("PyPI.org", 443, allowed=True),
        tried("pypi.org", 443),
        tried("github.com:443"),
        tried("http://example.org/x?y"),
        tried("\x1b[2J"),
    ):
        totals.count(one)
    told = totals.traffic()
    assert [(one.host, one.allowed, one.refused) for one in told.hosts] == [
        ("pypi.org", 1, 1),
        ("github.com", 0, 1),
        ("example.org", 0, 1),
        ("", 0, 1),
    ]
    assert (told.allowed, told.refused) == (1, 4)
    again = Totals.continuing(Usage.model_validate_json(Usage(egress=told).model_dump_json()).egress)
    for n in range(2 * MOST_HOSTS):
        again.count(tried(f"h{n}", 443))
    assert len(again.traffic().hosts) == MOST_HOSTS
    assert sum(one.allowed + one.refused for one in again.traffic().hosts) == 5 + 2 * MOST_HOSTS
