"""At a provider's limit: who waits for which window, and which agents go on in a new box."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.gateway.grants import Held, Outlook, Service, Usage, Window
from runner.supervisor import events as e
from runner.supervisor.attempt import resuming
from runner.supervisor.attempt.resuming import died_of, may_go_on, window_of
from runner.supervisor.attempt.spec import Known
from runner.supervisor.attempt.watch import Watched
from runner.supervisor.verdict import Exit
from runner.supervisor.windows import BRIEF, FAR, Asks, asks_of, closed_for, shut_profiles
from runner.tasks.plan import ClaudeSettings, CommandSettings, OnLimit, Profile

NOW = 1_000_000.0
MODEL = "claude-opus-5-5"
CLAUDE = Profile(name="p", settings=ClaudeSettings(model=MODEL), hash="p")
HELD = Held(kind="window", why="the 5-hour window of anthropic is used up", since=NOW)


def account(name: str, closed: float | None = None, *windows: Window, family: str = "") -> Outlook:
    """How an account stands whose 5-hour window is used up for so many seconds."""
    until = None if closed is None else NOW + closed
    return Outlook(
        dialect="anthropic",
        account=name,
        family=family,
        windows=windows,
        closed="5-hour" if closed else "",
        closed_until=until,
    )


def asks(*accounts: str, on_limit: OnLimit = "wait") -> Asks:
    services = [Service(base_url="http://x", account=name) for name in accounts]
    found = asks_of(CLAUDE, services, on_limit)
    assert found is not None
    return found


# -- windows


def test_who_asks_no_model_waits_for_no_window() -> None:
    command = Profile(name="c", settings=CommandSettings(run=("true",)), hash="c")
    assert asks_of(command, [Service(base_url="http://x")], "wait") is None
    assert asks_of(CLAUDE, [], "wait") is None


@pytest.mark.parametrize(
    ("on_limit", "outlooks", "until"),
    [
        ("wait", [account("a", 100)], 100),
        ("wait", [account("a", 100), account("b")], 100),
        ("wait", [account("b", 100)], None),
        ("wait", [account("a", -1)], None),
        ("wait", [account("a", 100), account("a", 700, family="opus")], 700),
        ("wait", [account("a", 700, family="haiku")], None),
        ("next-account", [account("a", 100), account("b")], None),
        ("next-account", [account("a", 100)], None),
        ("next-account", [account("a", 300), account("b", 200)], 200),
        ("stop", [account("a", 100), account("b")], 100),
    ],
)
def test_which_window_holds_who_asks(on_limit: OnLimit, outlooks: list[Outlook], until: int | None) -> None:
    closed = closed_for(asks("a", "b", on_limit=on_limit), outlooks, NOW)
    assert (closed.until - NOW if closed else None) == until
    assert closed is None or closed.window.startswith("the 5-hour window of account ")


@pytest.mark.parametrize(
    ("window", "holds"),
    [
        (Window(name="5-hour", used=0.98, resets_at=NOW + 2 * FAR), True),
        (Window(name="5-hour", used=0.9, resets_at=NOW + 2 * FAR), False),
        (Window(name="5-hour", used=0.98, resets_at=NOW + FAR / 2), False),
        (Window(name="5-hour", used=0.98), False),
        (Window(name="requests", limit=100, remaining=1, resets_at=NOW + 2 * FAR), True),
        (Window(name="requests", limit=100, remaining=40, resets_at=NOW + 2 * FAR), False),
        (Window(name="weekly", resets_at=NOW + 2 * FAR), False),
    ],
)
def test_nothing_is_started_into_a_closing_window(window: Window, *, holds: bool) -> None:
    standing = [account("a", None, window)]
    shut = shut_profiles({"p": asks("a")}, standing, (), NOW)
    assert bool(shut) is holds
    assert closed_for(asks("a"), standing, NOW) is None, "who is under way may use the rest"
    assert shut_profiles({"p": asks("a")}, standing, shut, NOW + 2 * FAR) == ()


def test_who_waits_is_told_once_and_a_brief_window_holds_nobody() -> None:
    asking = {"p": asks("a"), "q": asks("b", on_limit="stop")}
    (first,) = shut_profiles(asking, [account("a", 500)], (), NOW)
    assert (first.profile, first.until, first.for_good) == ("p", NOW + 500, False)
    assert shut_profiles(asking, [account("a", 501)], (first,), NOW + 1) == (first,)
    assert shut_profiles(asking, [account("a", BRIEF / 2)], (), NOW) == ()
    assert shut_profiles(asking, [account("a", 500)], (first,), NOW + 499) == (first,)
    (stops,) = shut_profiles(asking, [account("b", 500)], (), NOW)
    assert (stops.profile, stops.for_good) == ("q", True)


@given(st.lists(st.floats(-1000, 100_000), max_size=6), st.floats(0, 200_000))
def test_nobody_waits_for_ever_and_nobody_starts_into_a_closed_window(
    closes: list[float], later: float
) -> None:
    """Whoever waits does so for a window that is closed; once all have opened, nobody does."""
    outlooks = [account("a", seconds) for seconds in closes]
    shut = shut_profiles({"p": asks("a")}, outlooks, (), NOW + later)
    is_open = all(seconds <= later for seconds in closes)
    if is_open:
        assert shut == ()
    elif max(closes) - later >= BRIEF:
        assert shut[0].until == max(outlook.closed_until or 0 for outlook in outlooks)


# -- going on


def seen(
    code: int = 1,
    *,
    status: int | None = 429,
    ago: float = 1,
    held: Held | None = None,
    was: tuple[float, Held] | None = None,
    report: str | None = None,
    **used: object,
) -> Watched:
    """A box that ended by itself, its model having answered it last so many seconds before."""
    model = Usage.model_validate({"last_status": status, "last_activity": NOW - ago, **used})
    exit_ = Exit(code=code, report=report)
    return Watched(exit=exit_, model=model, held=held, was_held=was, lived=(NOW - 500, NOW))


@pytest.mark.parametrize(
    ("watched", "goes_on"),
    [
        (seen(), True),
        (seen(status=529), True),
        (seen(status=503, report="it failed", code=0), True),
        (seen(code=0), False),
        (seen(status=200), False),
        (seen(status=400), False),
        (seen(status=None), False),
        (seen(ago=100), False),
        (seen(ago=600), False),
        (seen(status=200, held=HELD), True),
        (seen(status=200, held=HELD.model_copy(update={"kind": "pace"})), False),
        (seen(status=200, held=HELD.model_copy(update={"kind": "credential"})), False),
        (seen(status=402, was=(NOW - 5, HELD)), True),
        (seen(status=402, was=(NOW - 100, HELD)), False),
        (seen(status=402, was=(NOW - 5, HELD), over_budget="run"), False),
        (seen(status=402), False),
        (Watched(exit=Exit(code=1)), False),
        (Watched(exit=Exit(code=None, stopped="timeout")), False),
        (Watched(), False),
    ],
)
def test_an_agent_goes_on_if_it_died_of_a_limit(watched: Watched, *, goes_on: bool) -> None:
    assert bool(died_of(watched)) is goes_on
    assert bool(may_go_on(watched, "wait", 0)) is goes_on
    assert not may_go_on(watched, "wait", resuming.MOST)


def test_an_earlier_box_was_told_and_not_this_one() -> None:
    watched = seen(ago=10)
    watched.lived = NOW - 5, NOW
    assert died_of(watched) == ""


def test_a_process_that_was_killed_for_memory_hides_no_limit() -> None:
    for last in (False, True):
        watched = seen()
        watched.exit = Exit(code=1, oom_killed=True, oom_last=last)
        assert may_go_on(watched, "wait", 0) == "the model service answered 429"
    watched.exit = Exit(code=137, oom_killed=True, oom_last=True)
    assert died_of(watched) == "", "it was killed itself"


def test_who_does_not_want_to_wait_is_limited() -> None:
    refused = seen(status=402, limited="the 5-hour window of anthropic")
    assert may_go_on(refused, "stop", 0) == ""
    assert window_of(refused, "stop") == "the 5-hour window of anthropic is used up"
    assert window_of(refused, "wait") == ""
    assert may_go_on(seen(status=529), "stop", 0), "an overload is no window"


def test_what_a_box_was_held_for_when_it_had_to_end() -> None:
    over = Exit(code=None, stopped="over")
    assert window_of(Watched(exit=over, held=HELD), "wait") == HELD.why
    overload = HELD.model_copy(update={"kind": "overload"})
    assert window_of(Watched(exit=over, held=overload), "wait") == ""
    assert window_of(Watched(exit=Exit(code=None, stopped="cancelled"), held=HELD), "wait") == ""


def test_pauses_grow_and_are_bounded() -> None:
    pauses = [resuming.pause(times) for times in range(1, resuming.MOST + 1)]
    assert pauses == sorted(pauses)
    assert (pauses[0], pauses[-1]) == (resuming.FIRST_PAUSE, resuming.LONGEST_PAUSE)


def held(at: float, container: str, **more: float) -> e.AttemptHeld:
    told = {"seconds": 1.0, "held_s": 2.0, "told_s": 0.5, **more}
    return e.AttemptHeld.model_validate(
        {"at": at, "attempt": "t/p/1", "container": container, "why": "so", **told}
    )


def test_what_passed_before_a_box_is_known_from_what_was_noted() -> None:
    def begun(at: float, container: str, again: int) -> e.Event:
        return e.BoxStarted(at=at, attempt="t/p/1", container=container, again=again)

    told: list[e.Event] = [begun(10, "one", 0), held(20, "one")]
    waiting = resuming.earlier(Known.of(tuple(told)), 50)
    assert (waiting.worked, waiting.held, waiting.told) == (1, 32, 0.5)
    told += [begun(30, "two", 1), begun(45, "two", 1)]  # told again by a later process
    assert resuming.earlier(Known.of(tuple(told)), 50).held == 12
    told += [held(60, "two", seconds=7, held_s=20)]
    assert resuming.earlier(Known.of(tuple(told)), 61).worked == 7
    assert resuming.earlier(Known(), 5).worked == 0
