"""Whether an agent that ended may go on in a new box, and what passed before: decided by facts, and pure.

What counts is what the gateway answered it, and what it was waiting for; never what the agent printed.
"""

from __future__ import annotations

from dataclasses import replace

from runner.sandbox.ended import WITH_THE_ENGINE
from runner.supervisor import events as e
from runner.supervisor.attempt.clock import Earlier
from runner.supervisor.attempt.spec import Known
from runner.supervisor.attempt.watch import Watched
from runner.supervisor.verdict import Exit, how_it_ended
from runner.tasks.plan import OnLimit

MOST = 20
"""How often an attempt goes on in a new box. Agents that die so often have another trouble."""

TOLD = frozenset({429, 503, 529})
"""Statuses by which services say that they are asked too much, or have too much to do."""

GIVEN_UP = frozenset({400, 402})
"""Statuses by which the gateway tells agents that it waited for long enough (`gateway.patience`)."""

LIMITS = frozenset({"window", "overload", "unreachable"})
"""What a request is held for that may make an agent give up, and that passes by itself."""

RECENT = 60.0
"""Seconds: an agent that lived on for longer after such an answer did not die of it."""

FIRST_PAUSE, LONGEST_PAUSE = 2.0, 300.0
"""Seconds between two boxes, doubled from one to the next, where no window says when it opens."""

MOST_RESTARTS = 3
"""How often an attempt goes on after such a death: what kills a machine each time is left alone then."""

MACHINE = "the machine, or its engine, stopped"

GO_ON = (
    "You were interrupted: the machine stopped, or the model service did not answer for a while. "
    "The files are as you left them; what was running in your shell has ended. Go on with the task."
)
"""What a session is told that is taken up again."""

NUDGED = (
    "You were interrupted because you got nowhere ({why}). The files are as you left them; what was running "
    "in your shell has ended. Go on with the task in another way, or finish."
)
"""What a session is told that is taken up again after a nudge."""

MOST_NUDGES = 1
"""How often an agent is nudged: what gets nowhere twice has another trouble."""


def died_of(seen: Watched) -> str:
    """Which limit an agent that ended by itself died of, in words; empty if it did not.

    It did if a service's limit was the last thing that it was told, shortly before; or if its requests were
    held just then, and it gave up, or was told that the gateway gave up. That goes before a process of its
    that the kernel killed.
    """
    if seen.exit is None or how_it_ended(replace(seen.exit, oom_last=False))[0] != "agent-error":
        return ""
    if seen.held is not None and seen.held.kind in LIMITS:
        return seen.held.why
    model = seen.model
    if model is None or model.last_activity is None or seen.lived is None:
        return ""
    began, ended = seen.lived
    if not max(began, ended - RECENT) <= model.last_activity:  # an earlier box was told, or it lived on
        return ""
    if model.last_status in TOLD:
        return model.limited or f"the model service answered {model.last_status}"
    if model.last_status in GIVEN_UP and not model.over_budget and seen.was_held is not None:
        at, held = seen.was_held
        return held.why if held.kind in LIMITS and ended - at <= RECENT else ""
    return ""


def window_of(seen: Watched, on_limit: OnLimit) -> str:
    """Which window of its provider ended an attempt's agent, in words; empty if none did.

    That is what it was held for when it had to end, and what it was refused for and did not survive.
    """
    if seen.exit is None or seen.exit.stopped not in {None, "over"}:
        return ""
    if seen.exit.stopped == "over":
        closed = seen.held is not None and seen.held.kind == "window"
        return seen.exit.window or (seen.held.why if seen.held is not None and closed else "")
    if seen.model is not None and seen.model.limited and on_limit == "stop":
        return f"{seen.model.limited} is used up"
    return died_of(seen)


def may_go_on(seen: Watched, on_limit: OnLimit, times: int) -> str:
    """Which limit an agent died of that is to go on in a new box, in words; empty if it is not to.

    Args:
        seen: What was seen of its last box.
        on_limit: What was asked for; who does not want to wait for a window does not.
        times: How often it went on already.
    """
    if times >= MOST or (on_limit == "stop" and seen.model is not None and seen.model.limited):
        return ""
    return died_of(seen)


def died_with_machine(seen: Watched, *, unwatched: bool) -> bool:
    """Whether an agent ended because all did.

    Args:
        seen: What was seen of its box.
        unwatched: Whether the box was found dead by a supervisor that took the run up again, or when an
            engine answered again that had been away. One that ends before its eyes has another cause.
    """
    return (
        unwatched and seen.exit is not None and seen.exit.code in WITH_THE_ENGINE and not seen.exit.oom_killed
    )


def seen_to_work(seen: Watched, measured: float | None) -> float:
    """For how many seconds an agent worked that died with the machine, as far as somebody saw it.

    An engine that finds a box dead when it starts notes that time as its end (moby, `daemon/daemon.go`,
    `restore`): the hours without power would be working time.

    Args:
        seen: What was seen of its box.
        measured: When it was measured last, in seconds since the epoch; None if nobody did.
    """
    if measured is None or seen.lived is None:
        return seen.seconds
    began, ended = seen.lived
    return max(0.0, seen.seconds - max(0.0, ended - max(began, measured)))


def pause(times: int) -> float:
    """Seconds to wait at least before the box in which an agent goes on for the so-many-th time, from 1."""
    return float(min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (times - 1)))


def nudges_left(known: Known) -> int:
    """How often an attempt's agent may still be nudged."""
    return MOST_NUDGES - sum(held.cause == "nudge" for held in known.held)


def told_again(last: e.AttemptHeld) -> str:
    """What an agent is told that goes on after this."""
    return NUDGED.format(why=last.why) if last.cause == "nudge" else GO_ON


def earlier(known: Known, now: float) -> Earlier:
    """What passed in an attempt before its present box, or, between two boxes, until now."""
    if not known.held:
        return Earlier()
    last = known.held[-1]
    waited = max(0.0, (known.began_again or now) - last.at)
    return Earlier(last.seconds, last.held_s + waited, last.told_s)


def as_seen(known: Known, now: float) -> Watched:
    """What is known of an attempt whose agent waits to go on."""
    passed = earlier(known, now)
    last = known.held[-1]
    return Watched(exit=Exit(code=last.exit_code), seconds=passed.worked, held_s=passed.held)


def in_all(seen: Watched, held: tuple[e.AttemptHeld, ...]) -> Watched:
    """What was seen of the last box, with what the earlier ones used."""
    spent = [part for part in (seen.measured.cpu_seconds, *(one.cpu_seconds for one in held)) if part]
    peaks = [part for part in (seen.measured.peak_memory, *(one.peak_memory for one in held)) if part]
    if not held:
        return seen
    measured = replace(
        seen.measured,
        cpu_seconds=sum(spent) if spent else None,
        peak_memory=max(peaks) if peaks else None,
    )
    return replace(seen, measured=measured)
