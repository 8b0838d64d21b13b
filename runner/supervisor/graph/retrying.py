"""Whether an attempt that ended is tried again, how, and when: one table by verdict, and pure.

    later     again in some time, as it began, since the fault was not its own
    feedback  again at once, its agent told what the check, or its own end, said
    memory    again at once with more memory, where the task file gives it some
    never     only if a person wants it: `corral retry`, `corral decide`

Whatever is not tried again is *surfaced*: it is listed with what a person can do (`deciding`), and what needs
it is held. Every try keeps its record.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Literal

from runner.names import AttemptKey
from runner.supervisor import events as e
from runner.supervisor.state import RunState
from runner.supervisor.tried import AttemptState
from runner.supervisor.verdict import Verdict
from runner.tasks.plan import Retry

Way = Literal["later", "feedback", "memory", "never"]

WAYS: dict[Verdict, Way] = {
    "infrastructure": "later",
    "rejected": "feedback",
    "agent-error": "feedback",
    "oom": "memory",
    "timeout": "never",
    "stalled": "never",
    "disk": "never",
    "over-budget": "never",
    "limited": "never",
    "needs-input": "never",
    "cancelled": "never",
    "refused": "never",
    "no-change": "never",
    "accepted": "never",
    "done": "never",
    "skipped": "never",
}

GROWTH = 4
"""How many times as long each pause is as the one before it."""
LONGEST_PAUSE = 15 * 60.0
"""Seconds. What is not there after that needs a person, not more patience between two looks at it."""


def pause(retry: Retry, times: int) -> float:
    """Seconds before an attempt is tried again for the so-many-th time after a fault of ours, from 1."""
    return float(min(LONGEST_PAUSE, retry.pause * GROWTH ** (times - 1)))


def following(state: RunState, key: AttemptKey, now: float) -> e.AttemptRetried | None:
    """The try that follows one that is final, by itself; None if none does, or not now.

    Args:
        state: The run.
        key: Any try of the attempt; the last one is looked at.
        now: The time, in seconds since the epoch.
    """
    tries = state.tries(key)
    last = tries[-1]
    settled = key.task in state.skipped or any(state.counts(one) for one in tries)
    if last.phase != "final" or last.verdict is None or settled or _no_more(state, last):
        return None
    retry = state.plan.task(key.task).retry
    times = Counter(_why(one) for one in tries[1:])
    match WAYS[last.verdict]:
        case "later" if times["infrastructure"] < retry.infrastructure and last.started is not None:
            wait = pause(retry, times["infrastructure"] + 1)
            return _as_before(last, now, now + wait if wait else None)
        case "feedback" if times["feedback"] < retry.feedback:
            return told(state, last, now, "feedback")
        case "memory" if retry.memory is not None and retry.memory > state.limits(last.key).memory:
            return told(state, last, now, "memory", memory=retry.memory)
        case _:
            return None


def due(state: RunState, now: float) -> Iterator[e.AttemptRetried]:
    """The tries that follow those that are final: an interruption may have kept them from being noted."""
    for planned in state.plan.attempts:
        follows = following(state, planned.key, now)
        if follows is not None:
            yield follows


def told(
    state: RunState,
    last: AttemptState,
    now: float,
    why: e.Why,
    *,
    session: Literal["resume", "fresh"] | None = None,
    memory: int | None = None,
    note: str = "",
) -> e.AttemptRetried:
    """Another try, whose agent is told how this one ended.

    Args:
        state: The run.
        last: The try that ended.
        now: The time, in seconds since the epoch.
        why: Why there is another one.
        session: Whether it goes on with this one's conversation; by default as the task says.
        memory: Its memory limit in bytes; by default as much as this one had.
        note: What a person has to say to the agent.
    """
    before = last.retry
    resumes = (session or state.plan.task(last.key.task).retry.session) == "resume" and can_go_on(last)
    earlier = before.on if before is not None else None
    return e.AttemptRetried(
        at=now,
        attempt=str(last.key),
        why=why,
        told=str(last.key),
        base=last.base if resumes else None,
        on=(last.commit or earlier) if resumes else None,
        session=last.session if resumes else None,
        home=str(last.key) if resumes else None,
        memory=memory or (before.memory if before is not None else None),
        note=note,
    )


def can_go_on(last: AttemptState) -> bool:
    """Whether a later try can go on where this one ended.

    Its HOME must be there, and its work: an agent that remembers changes which are not there goes astray.
    """
    return last.home and last.work != "refused" and last.discarded is None


def _as_before(last: AttemptState, now: float, not_before: float | None) -> e.AttemptRetried:
    """Another try that begins as this one did."""
    fresh = {"at": now, "attempt": str(last.key), "why": "infrastructure", "not_before": not_before}
    return (last.retry or e.AttemptRetried(**fresh)).model_copy(update=fresh)


def _no_more(state: RunState, last: AttemptState) -> bool:
    """Whether nothing more is begun in this run, or of its kind."""
    return state.draining or state.over or state.spent_for(last.key) is not None


def _why(attempt: AttemptState) -> e.Why:
    """Why there is this try; earlier versions had one reason, and did not say it."""
    return attempt.retry.why if attempt.retry is not None else "infrastructure"
