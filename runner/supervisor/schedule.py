"""What to start next, and why the rest waits: one pure function of a run's state."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from heapq import heappop, heappush
from itertools import takewhile
from typing import Literal

from runner.agents import catalog
from runner.names import AttemptKey
from runner.supervisor import routing
from runner.supervisor.deadline import at
from runner.supervisor.state import RunState
from runner.tasks.leases import Leases
from runner.tasks.plan import Plan, PlannedAttempt, Priority

NOT_STARTED = "the run was stopped before it started"
PAUSED = "until the run goes on (`corral unpause`)"
NOT_BEFORE_END = "the run's end came before it started"

RANKS: dict[Priority, int] = {"high": 0, "normal": 1, "low": 2}
"""Of attempts that could start, those with the lower figure do, and within one figure in plan order."""

_OF_THE_RUN = tuple(part.name for part in fields(RunState) if part.name not in {"attempts", "spent", "width"})
"""What is known of a run and concerns all of its attempts."""

Standing = Literal["start", "wait", "fail", "skip", "held", "busy", "final"]
_CLOSED = {"final", "held"}
_ENDING = {"fail", "skip"}

CROWDED = "for a free place"


@dataclass(frozen=True)
class Decision:
    """Where an attempt stands: to start now, waiting (why), unable to, not wanted (why), held, or done."""

    key: AttemptKey
    standing: Standing
    why: str = ""
    base: str | None = None
    """The commit it starts from, if it is to be started, or would start from, if it is not wanted."""
    passes: bool = False
    """Of one that is not wanted: whether what needs it goes on without it."""
    until: float | None = None
    """When it is known to wait no longer, in seconds since the epoch."""


class Agenda:
    """Where every attempt of a run stands, kept up to date as the run goes on.

    What an attempt may do depends on itself, on those that it needs, and on what holds for the whole run;
    only where one of these changed is it judged anew (`follow`). So an event of one attempt of 10,000 costs
    about as much as one of ten. It decides nothing that `decide` would not, which is made of it.
    """

    def __init__(self, state: RunState) -> None:
        self._state = state
        self._begin()

    def follow(self, state: RunState) -> None:
        """Take in how the run stands now."""
        before, self._state = self._state, state
        if state.plan is not before.plan:
            self._begin()
            return
        if any(getattr(state, name) is not getattr(before, name) for name in _OF_THE_RUN):
            self._judge(range(len(self._decisions)))
            return
        self._judge(self._concerned(before))

    @property
    def finished(self) -> bool:
        """Whether nothing lives and nothing will be started any more."""
        return self._open == 0

    def due(self, jobs: int) -> list[Decision]:
        """What is to be done now: what can't start or is not wanted, to be ended, and what is to be started.

        Args:
            jobs: How many attempts may live at once.
        """
        ending = [self._decisions[place] for place in sorted(self._ending)]
        allotted = _allot(self._state, self._ready_ones(), jobs)
        given = takewhile(
            lambda one: not one.why.startswith(CROWDED), allotted
        )  # behind those nothing is looked at
        return ending + [one for one in given if one.standing == "start"]

    def all(self, jobs: int) -> list[Decision]:
        """Where every attempt stands, in plan order, as `decide`."""
        allotted = {one.key: one for one in _allot(self._state, self._ready_ones(), jobs)}
        return [allotted.get(one.key, one) for one in self._decisions]

    def _begin(self) -> None:
        plan = self._state.plan
        self._places = {planned.key: place for place, planned in enumerate(plan.attempts)}
        self._followers: dict[AttemptKey, list[int]] = {}
        for place, planned in enumerate(plan.attempts):
            for key in _needed(planned):
                self._followers.setdefault(key, []).append(place)
        self._decisions: list[Decision] = [Decision(planned.key, "final") for planned in plan.attempts]
        self._ready: list[tuple[int, int]] = []  # (rank, place), sorted
        self._ending: set[int] = set()
        self._held: set[AttemptKey] = set()
        self._open = 0
        self._judge(range(len(plan.attempts)))

    def _ready_ones(self) -> Iterator[Decision]:
        """Those that could start, in the order in which free places go to them."""
        return (self._decisions[place] for _, place in self._ready)

    def _concerned(self, before: RunState) -> Iterator[int]:
        """The places of the attempts for which something changed in another attempt, or in a budget."""
        for key in self._state.attempts.changed_since(before.attempts):
            yield from (self._places[key], *self._followers.get(key, ())) if key in self._places else ()
        for whose, name in self._state.spent - before.spent:
            if whose != "task":
                yield from range(len(self._decisions))
            yield from (self._places[key] for key in self._state.attempts.firsts_of(name))

    def _judge(self, places: Iterable[int]) -> None:
        """Judge these anew, and what needs them where that changes something for it."""
        waiting = sorted(set(places))
        queued = set(waiting)
        while waiting:  # what an attempt needs stands before it, so that each is judged once
            place = heappop(waiting)
            planned = self._state.plan.attempts[place]
            was_held = planned.key in self._held
            self._settle(place, _decide_one(self._state, planned, self._held))
            if was_held != (planned.key in self._held):
                for follower in self._followers.get(planned.key, ()):
                    if follower > place and follower not in queued:
                        queued.add(follower)
                        heappush(waiting, follower)

    def _settle(self, place: int, decision: Decision) -> None:
        """Put a decision in the place of the one before."""
        before, self._decisions[place] = self._decisions[place], decision
        entry = (RANKS[self._state.plan.task(decision.key.task).priority], place)
        if before.standing == "start":
            del self._ready[bisect_left(self._ready, entry)]
        if decision.standing == "start":
            insort(self._ready, entry)
        (self._ending.add if decision.standing in _ENDING else self._ending.discard)(place)
        (self._held.add if decision.standing == "held" else self._held.discard)(decision.key.first)
        self._open += (decision.standing not in _CLOSED) - (before.standing not in _CLOSED)


def decide(state: RunState, jobs: int) -> list[Decision]:
    """Where every attempt of a run stands, in plan order; free places go to the higher priority first.

    Args:
        state: The run.
        jobs: How many attempts may live at once.
    """
    return Agenda(state).all(jobs)


def finished(state: RunState) -> bool:
    """Whether nothing lives and nothing will be started any more."""
    return Agenda(state).finished


def images_of(plan: Plan) -> list[tuple[int, str | None]]:
    """Each (source, agent layer) that a plan needs, in the order of first need."""
    needs = (
        (plan.task(p.task).source, catalog.layer(plan.profile(p.profile).settings)) for p in plan.attempts
    )
    return list(dict.fromkeys(needs))


def _allot(state: RunState, ready: Iterable[Decision], jobs: int) -> Iterator[Decision]:
    """Which of those that could start do, in the order in which places go to them; why the rest waits.

    A place goes to the first whose `paths` nobody else works on.
    """
    adaptive = state.plan.mode == "adaptive" and state.width < jobs
    free = (state.width if adaptive else jobs) - len(state.attempts.living)
    crowded = f"{CROWDED} ({f'adaptive: {state.width} at once' if adaptive else '--jobs'})"
    leases = Leases()
    for key in state.attempts.living:
        leases.take(*_paths(state, key), key.task)
    for one in ready:
        taken = leases.conflict(*_paths(state, one.key), one.key.task) if free > 0 else None
        if free <= 0:
            yield Decision(one.key, "wait", crowded)
        elif taken is not None:
            yield Decision(one.key, "wait", f"for {taken[0]}, on which {taken[1]} works")
        else:
            free -= 1
            leases.take(*_paths(state, one.key), one.key.task)
            yield one


def _paths(state: RunState, key: AttemptKey) -> tuple[str, tuple[str, ...]]:
    """The repository that an attempt works on, and the paths in it that are its task's alone."""
    task = state.plan.task(key.task)
    return state.plan.sources[task.source].git_dir, task.paths


def _needed(planned: PlannedAttempt) -> Iterable[AttemptKey]:
    """The attempts that say something about this one: where one of them changes, it is judged anew."""
    groups = (*planned.after, planned.start, planned.settled, planned.previous)
    texts = (text for group in groups for text in group)
    return dict.fromkeys(AttemptKey.parse(text) for text in texts)


def _decide_one(state: RunState, planned: PlannedAttempt, held: set[AttemptKey]) -> Decision:
    """Where an attempt stands, free places aside. It reads of `state` what `Agenda` watches, and no clock."""
    attempt = state.tries(planned.key)[-1]
    key = attempt.key
    if attempt.phase != "queued":
        return Decision(key, "final" if attempt.phase == "final" else "busy")
    stopping = state.draining or state.over
    if not stopping and (before := routing.earlier(state, planned, held)) is not None:
        return Decision(key, "wait", f"for {before}, which comes before it")
    if why := _never(state, key):
        return Decision(key, "held", why)
    needs = _needs(state, planned, held)
    if needs.failed:
        return Decision(key, "held", f"it needs {needs.failed}, which did not serve")
    if needs.open:
        return Decision(key, "wait", f"for {needs.open}")
    route = routing.route(state, planned, held, needs.base)
    if route.failed or route.open:
        failed = f"it asks about {route.failed}, which was not done"
        return Decision(
            key, "held" if route.failed else "wait", failed if route.failed else f"for {route.open}"
        )
    if route.skip:
        return Decision(key, "skip", route.skip, base=route.base, passes=route.passes)
    return _prepared(state, key, route.base)


def _prepared(state: RunState, key: AttemptKey, base: str | None) -> Decision:
    """Where an attempt stands that may start as far as others are concerned."""
    image = (state.plan.task(key.task).source, catalog.layer(state.plan.profile(key.profile).settings))
    if image in state.broken_images:
        return Decision(key, "fail", state.broken_images[image])
    if image not in state.images:
        return Decision(key, "wait", "for its image")
    if state.plan.task(key.task).for_each is not None:
        why = state.no_items(key)
        return (
            Decision(key, "wait", "for its items (`for_each`)") if why is None else Decision(key, "fail", why)
        )
    if (shut := state.shut_for(key.profile)) is not None:
        return Decision(
            key, "wait", f"for {shut.window}, until {at(shut.until, shut.since)}", until=shut.until
        )
    if state.paused:
        return Decision(key, "wait", PAUSED)
    return Decision(key, "start", base=base)


def _never(state: RunState, key: AttemptKey) -> str:
    """Why an attempt that waits will not be started, as things stand; empty if it may be."""
    if state.draining:
        return NOT_STARTED
    if state.over:
        return NOT_BEFORE_END
    if (spent := state.spent_for(key)) is not None:
        return f"the budget of its {spent} is spent"
    shut = state.shut_for(key.profile)
    return f"{shut.window} is used up, and `on_limit` is `stop`" if shut and shut.for_good else ""


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
    if not planned.start or planned.start[0] in planned.settled:
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
