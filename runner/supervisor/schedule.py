"""What to start next, and why the rest waits: one pure function of a run's state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from runner.agents import catalog
from runner.names import AttemptKey
from runner.supervisor.deadline import at, left
from runner.supervisor.events import Late
from runner.supervisor.state import AttemptState, RunState
from runner.tasks.plan import Plan, PlannedAttempt, Priority

NOT_STARTED = "the run was stopped before it started"
NOT_BEFORE_END = "the run's end came before it started"
NO_TIME = "it would not be done before the run's end"

RANKS: dict[Priority, int] = {"high": 0, "normal": 1, "low": 2}
"""Of attempts that could start, those with the lower figure do, and within one figure in plan order."""

Standing = Literal["start", "wait", "fail", "held", "busy", "final"]


@dataclass(frozen=True)
class Decision:
    """Where an attempt stands: to be started now, waiting (why), unable to start (why), held, or done."""

    key: AttemptKey
    standing: Standing
    why: str = ""
    base: str | None = None
    """The commit it starts from, if it is to be started."""
    until: float | None = None
    """When it is known to wait no longer, in seconds since the epoch."""


def decide(state: RunState, jobs: int) -> list[Decision]:
    """Where every attempt of a run stands, in plan order; free places go to the higher priority first.

    Args:
        state: The run.
        jobs: How many attempts may live at once.
    """
    alive = sum(1 for attempt in state.attempts.values() if attempt.phase not in {"queued", "final"})
    decisions: list[Decision] = []
    held: set[AttemptKey] = set()
    for planned in state.plan.attempts:  # what an attempt needs stands before it
        decision = _decide_one(state, planned, state.tries(planned.key)[-1], held)
        if decision.standing == "held":
            held.add(planned.key)
        decisions.append(decision)
    ready = [decision.key for decision in decisions if decision.standing == "start"]
    ready.sort(key=lambda key: RANKS[state.plan.task(key.task).priority])
    crowded = set(ready[max(0, jobs - alive) :])
    return [
        Decision(one.key, "wait", "for a free place (--jobs)") if one.key in crowded else one
        for one in decisions
    ]


def finished(state: RunState) -> bool:
    """Whether nothing lives and nothing will be started any more."""
    return all(decision.standing in {"final", "held"} for decision in decide(state, jobs=0))


def images_of(plan: Plan) -> list[tuple[int, str | None]]:
    """Each (source, agent layer) that a plan needs, in the order of first need."""
    needs = (
        (plan.task(p.task).source, catalog.layer(plan.profile(p.profile).settings)) for p in plan.attempts
    )
    return list(dict.fromkeys(needs))


def _decide_one(
    state: RunState, planned: PlannedAttempt, attempt: AttemptState, held: set[AttemptKey]
) -> Decision:
    key = attempt.key
    if attempt.phase != "queued":
        return Decision(key, "final" if attempt.phase == "final" else "busy")
    if why := _never(state, key):
        return Decision(key, "held", why)
    needs = _needs(state, planned, held)
    if needs.failed:
        return Decision(key, "held", f"it needs {needs.failed}, which did not serve")
    if needs.open:
        return Decision(key, "wait", f"for {needs.open}")
    image = (state.plan.task(key.task).source, catalog.layer(state.plan.profile(key.profile).settings))
    if image in state.broken_images:
        return Decision(key, "fail", state.broken_images[image])
    if not state.begun:
        return Decision(key, "wait", "for the run's start", until=state.starts)
    if image not in state.images:
        return Decision(key, "wait", "for its image")
    if (shut := state.shut_for(key.profile)) is not None:
        return Decision(
            key, "wait", f"for {shut.window}, until {at(shut.until, shut.since)}", until=shut.until
        )
    return Decision(key, "start", base=needs.base)


def _never(state: RunState, key: AttemptKey) -> str:
    """Why an attempt that waits will not be started, as things stand; empty if it may be."""
    if state.draining:
        return NOT_STARTED
    if state.over:
        return NOT_BEFORE_END
    if (late := state.late_for(key)) is not None:
        return f"{NO_TIME}: {late_words(late)}"
    if (spent := state.spent_for(key)) is not None:
        return f"the budget of its {spent} is spent"
    shut = state.shut_for(key.profile)
    return f"{shut.window} is used up, and `on_limit` is `stop`" if shut and shut.for_good else ""


def late_words(late: Late) -> str:
    """How much time there is too little."""
    there_are = left(late.left, 0)
    verb = "is" if there_are in {"1min", "1s"} else "are"
    return f"it takes about {left(late.takes, 0)}, {there_are} {verb} left"


@dataclass(frozen=True)
class _Needs:
    """What an attempt needs of others: a task that failed it, an attempt that is still open, its base."""

    failed: str | None = None
    open: str | None = None
    base: str | None = None


def _needs(state: RunState, planned: PlannedAttempt, held: set[AttemptKey]) -> _Needs:
    for group in planned.after:
        found = _first_served(state, group, held)
        if found.failed or found.open:
            return found
    if not planned.start:
        return _Needs(base=state.plan.sources[state.plan.task(planned.task).source].base)
    return _first_served(state, planned.start, held)


def _first_served(state: RunState, candidates: tuple[str, ...], held: set[AttemptKey]) -> _Needs:
    """The first of these attempts, in order, that served; those before it must be over."""
    for text in candidates:
        key = AttemptKey.parse(text)
        tries = state.tries(key)
        winner = next((attempt for attempt in tries if state.serves(attempt)), None)
        if winner is not None:
            return _Needs(base=winner.commit or winner.base)
        if tries[-1].phase != "final" and key not in held:
            return _Needs(open=text)
    return _Needs(failed=AttemptKey.parse(candidates[0]).task)
