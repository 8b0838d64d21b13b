"""Which way a run takes through its graph of tasks, by what came of the tasks before. Pure.

What has to have served is the schedule's own question. Here are the others: whether what `when` asks about
is over, and what the answer is; where work starts that goes on from what did not serve, or from the last
work that did; and whose results an agent gets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Set
from dataclasses import dataclass

from runner.names import AttemptKey
from runner.supervisor.state import RunState
from runner.supervisor.tried import AttemptState
from runner.tasks.plan import PlannedAttempt
from runner.tasks.when import COUNTS, SKIPPED, Expression, Fact, comparisons, holds, parse

Held = Set[AttemptKey]
"""Attempts that will not be started, as things stand."""


@dataclass(frozen=True)
class Route:
    """Where an attempt goes on whose needs have served.

    Attributes:
        open: What it waits for.
        failed: What was never done, so that nobody can say whether this is to be.
        skip: Why it is not done at all.
        base: The commit that it starts from.
        passes: Whether everything that it asks about served: then what needs it goes on without it.
    """

    open: str | None = None
    failed: str | None = None
    skip: str = ""
    base: str | None = None
    passes: bool = True


def earlier(state: RunState, planned: PlannedAttempt, held: Held) -> str | None:
    """In a sequential run, an attempt that comes before and is not over; None if there is none."""
    return next(
        (name for name in planned.previous if not _is_over(state, AttemptKey.parse(name), held)), None
    )


def route(state: RunState, planned: PlannedAttempt, held: Held, base: str | None) -> Route:
    """Where an attempt goes on.

    Args:
        state: The run.
        planned: The attempt; all that it needs to have served has.
        held: What will not be started.
        base: Where it starts from, by what served.
    """
    task = state.plan.task(planned.task)
    expression = None if task.when is None else parse(task.when)
    asked = set() if expression is None else {one.task for one in comparisons(expression)}
    settled = [AttemptKey.parse(name) for name in planned.settled]
    for key in settled:
        if key in held and _called(state, key) in asked:
            return Route(failed=_called(state, key))
        if not _is_over(state, key, held):
            return Route(open=str(key))
    base = _start(state, planned, base)
    if expression is None:
        return Route(base=base)
    facts = _Facts(state, [key for key in settled if _called(state, key) in asked])
    base = base or state.plan.sources[task.source].base
    return Route(skip=_why_not(expression, facts.fact), base=base, passes=facts.all_served())


def _why_not(expression: Expression, fact: Callable[[str, str], Fact]) -> str:
    """Why an expression does not hold, with what is known; empty if it does."""
    result = holds(expression, fact)
    if result:
        return ""
    told = {f"{one.task}.{one.fact}": fact(one.task, one.fact) for one in comparisons(expression)}
    known = ", ".join(
        f"{name} is {'not known' if value is None else _shown(value)}" for name, value in told.items()
    )
    return f"its `when` {'does not hold' if result is False else 'can not be answered'}: {known}"


def _shown(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:g}"


def results(state: RunState, planned: PlannedAttempt) -> tuple[AttemptState, ...]:
    """The attempts whose results an agent gets: of each task and item that it needs, the one that counts.

    One that was skipped has none, and one that did not serve only where `when` asks about it.
    """
    needed = list(dict.fromkeys(name for group in planned.after for name in group))
    asked = [name for name in planned.settled if name not in needed]
    ones = [chosen(state, keys) for keys in _by_task([*needed, *asked]).values()]
    return tuple(
        one
        for one in ones
        if one is not None
        and one.verdict not in {None, SKIPPED}
        and (state.counts(one) or str(one.key.first) in asked)
    )


def chosen(state: RunState, group: Iterable[AttemptKey]) -> AttemptState | None:
    """Of a task's attempts the one that counts: a person's choice, the first that served, or the first."""
    keys = list(group)
    tries = [state.tries(key) for key in keys]
    every = [attempt for one in tries for attempt in one]
    served = state.used_of(keys) or next((attempt for attempt in every if state.serves(attempt)), None)
    return served or next((one[-1] for one in tries if one), None)


def _by_task(names: Iterable[str]) -> dict[str, list[AttemptKey]]:
    found: dict[str, list[AttemptKey]] = {}
    for key in map(AttemptKey.parse, names):
        found.setdefault(key.task, []).append(key)
    return found


def _is_over(state: RunState, key: AttemptKey, held: Held) -> bool:
    tries = state.tries(key)
    return not tries or tries[-1].phase == "final" or key in held


def _called(state: RunState, key: AttemptKey) -> str:
    """What the task file calls an attempt's task: items are asked about together."""
    return state.plan.task(key.task).of or key.task


# -- where it starts


def _start(state: RunState, planned: PlannedAttempt, base: str | None) -> str | None:
    """The commit that an attempt starts from, where that is not simply the branch of what served."""
    if planned.checkpoint:
        return _checkpoint(state, planned)
    if planned.start and planned.start[0] in planned.settled:  # it may start from what did not serve
        one = chosen(state, map(AttemptKey.parse, planned.start))
        return (one.commit or one.base if one is not None else None) or base
    return base


def _checkpoint(state: RunState, planned: PlannedAttempt) -> str:
    """The last work that served before it, on the same repository and base; or that base."""
    source = state.plan.sources[state.plan.task(planned.task).source]
    before = planned.previous
    while before:
        first = state.plan.attempt(before[0])
        other = state.plan.sources[state.plan.task(first.task).source]
        if (other.git_dir, other.base) == (source.git_dir, source.base):
            one = chosen(state, map(AttemptKey.parse, before))
            if one is not None and one.commit is not None and state.counts(one):
                return one.commit
            if one is not None and one.base is not None and first.checkpoint:
                return one.base  # it started from the last work that served before it
        before = first.previous
    return source.base


# -- what is known


class _Facts:
    """What came of the tasks that a `when` asks about."""

    def __init__(self, state: RunState, keys: Iterable[AttemptKey]) -> None:
        self._state = state
        self._of: dict[str, dict[str, list[AttemptKey]]] = {}
        for key in keys:
            self._of.setdefault(_called(state, key), {}).setdefault(key.task, []).append(key)

    def fact(self, task: str, fact: str) -> Fact:
        """A fact of a task; None if it is not known."""
        if fact in COUNTS:
            served = [self._served(group) for group in self._of.get(task, {}).values()]
            return {"items": len(served), "served": sum(served), "failed": served.count(False)}[fact]
        one = next((chosen(self._state, group) for group in self._of.get(task, {}).values()), None)
        return None if one is None else self._of_attempt(one, fact)

    def all_served(self) -> bool:
        """Whether everything asked about served."""
        return all(self._served(group) for groups in self._of.values() for group in groups.values())

    def _served(self, group: list[AttemptKey]) -> bool:
        one = chosen(self._state, group)
        return one is not None and (self._state.counts(one) or one.key.task in self._state.skipped)

    def _of_attempt(self, one: AttemptState, fact: str) -> Fact:
        if fact == "files" and one.work == "none":
            return 0
        if fact == "usd" and not self._state.plan.profile(one.key.profile).asks_a_model:
            return 0
        known: dict[str, Fact] = {
            "verdict": one.verdict,
            "ended": one.ended,
            "work": one.work,
            "check": one.check,
            "files": one.files,
            "usd": one.usd,
        }
        return known[fact]
