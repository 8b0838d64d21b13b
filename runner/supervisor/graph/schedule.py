"""What to start next, and why the rest waits: one pure function of a run's state."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from heapq import heappop, heappush
from itertools import takewhile
from typing import Literal

from runner.agents import catalog
from runner.names import AttemptKey
from runner.supervisor.deadline import at, awake, left
from runner.supervisor.events import Late
from runner.supervisor.graph import routing
from runner.supervisor.graph.places import Turn, turns
from runner.supervisor.host.admission import Room, Short
from runner.supervisor.state import RunState
from runner.supervisor.tried import AttemptState
from runner.tasks.plan import Plan, PlannedAttempt, Priority

NOT_STARTED = "the run was stopped before it started"
PAUSED = "until the run goes on (`corral unpause`)"
NOT_BEFORE_END = "the run's end came before it started"
DECIDED = "the comparison is decided (`stop_when: decided`)"
NO_TIME = "it would not be done before the run's end"

RANKS: dict[Priority, int] = {"high": 0, "normal": 1, "low": 2}
"""Of attempts that could start, those with the lower figure do, and within one figure in plan order."""

_OF_OTHERS = {
    *("attempts", "spent", "jobs", "auto", "short", "heeded", "width", "versions"),
    *("warned", "notified", "untold", "mail", "before", "integrated"),
}
_OF_THE_RUN = tuple(part.name for part in fields(RunState) if part.name not in _OF_OTHERS)
"""What is known of a run and concerns all of its attempts, whatever places and room there are."""

Standing = Literal["start", "wait", "fail", "skip", "held", "busy", "final"]
_CLOSED = {"final", "held"}
_ENDING = {"fail", "skip"}


@dataclass(frozen=True)
class Decision:
    """Where an attempt stands: to start now, waiting (why), unable to, not wanted (why), held, or done."""

    key: AttemptKey
    standing: Standing
    why: str = ""
    base: str | None = None
    """The commit it starts from, where that is known: no other attempt has any more to say about it."""
    passes: bool = False
    """Of one that is not wanted: whether what needs it goes on without it."""
    until: float | None = None
    """When it is known to wait no longer, in seconds since the epoch."""
    lacks: str | None = None
    """The task that it is held for, which did not serve."""
    short: Short | None = None
    """What the host has too little of, if it waits for that."""
    waited: float | None = field(default=None, compare=False)
    """Of one that starts: for how many seconds only a place, or room on the host, kept it from that."""


class Agenda:
    """Where every attempt of a run stands, kept up to date as the run goes on.

    What an attempt may do depends on itself, on those that it needs, and on what holds for the whole run;
    only where one of these changed is it judged anew (`follow`). So an event of one attempt of 10,000 costs
    about as much as one of ten. It decides nothing that `decide` would not, which is made of it.
    """

    def __init__(self, state: RunState, clock: Callable[[], float] = awake) -> None:
        """Begin with how the run stands; `clock` tells seconds, by which it is known how long one waits."""
        self._state = state
        self._clock = clock
        self._ready_since: dict[AttemptKey, float] = {}
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

    @property
    def state(self) -> RunState:
        """How the run stood when that was taken in last."""
        return self._state

    @property
    def has_ready(self) -> bool:
        """Whether something could start if there were a place and room for it."""
        return bool(self._ready)

    def due(
        self, jobs: int, room: Room | None = None, waits: Mapping[AttemptKey, float] | None = None
    ) -> list[Decision]:
        """What is to be done now: what can't start or is not wanted, what is to start, and what
        finds no room to, or never will.

        Args:
            jobs: How many attempts may live at once.
            room: What the host has; None where nobody asks it.
            waits: Since when which attempts have found no room there, on its clock.
        """
        ending = [self._decisions[place] for place in sorted(self._ending)]
        found = turns(self._state, (one.key for one in self._ready_ones()), jobs, room, waits)
        taken = takewhile(lambda turn: not turn.closes, found)
        return ending + [self._allotted(turn) for turn in taken if turn.starts or turn.short or turn.never]

    def all(self, jobs: int) -> list[Decision]:
        """Where every attempt stands, in plan order, as `decide`."""
        found = turns(self._state, (one.key for one in self._ready_ones()), jobs)
        allotted = {turn.key: self._allotted(turn) for turn in found}
        return [allotted.get(one.key, one) for one in self._decisions]

    def _allotted(self, turn: Turn) -> Decision:
        known = self._decisions[self._places[turn.key.first]]
        if turn.starts:
            since = self._ready_since.get(turn.key)
            return replace(known, waited=None if since is None else max(0.0, self._clock() - since))
        standing: Standing = "fail" if turn.never else "wait"
        return replace(known, standing=standing, why=turn.why, short=turn.short)

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
            before = self._decisions[place]
            self._settle(place, _decide_one(self._state, planned, self._held))
            skipped = (
                planned.task in self._state.skipped
            )  # then what it needs itself counts for its followers
            if skipped or self._decisions[place] != before:
                for follower in self._followers.get(planned.key, ()):
                    if follower > place and follower not in queued:
                        queued.add(follower)
                        heappush(waiting, follower)

    def _settle(self, place: int, decision: Decision) -> None:
        """Put a decision in the place of the one before."""
        before, self._decisions[place] = self._decisions[place], decision
        known = self._ready_since.get(decision.key)
        entry = (RANKS[self._state.plan.task(decision.key.task).priority], place)
        if before.standing == "start":
            del self._ready[bisect_left(self._ready, entry)]
            self._ready_since.pop(before.key, None)
        if decision.standing == "start":
            insort(self._ready, entry)
            self._ready_since[decision.key] = known if known is not None else self._clock()
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
        return Decision(key, "held", f"it needs {needs.failed}, which did not serve", lacks=needs.failed)
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
    return _prepared(state, attempt, route.base)


def _prepared(state: RunState, attempt: AttemptState, base: str | None) -> Decision:
    """Where an attempt stands that may start as far as others are concerned."""
    key = attempt.key
    image = (state.plan.task(key.task).source, catalog.layer(state.plan.profile(key.profile).settings))
    if image in state.broken_images:
        return Decision(key, "fail", state.broken_images[image])
    base = (attempt.retry.base if attempt.retry else None) or base
    if (waits := _waits(state, attempt, image)) is not None:
        return replace(waits, base=base)
    return Decision(key, "start", base=base)


def _waits(state: RunState, attempt: AttemptState, image: tuple[int, str | None]) -> Decision | None:
    """Why an attempt that might start does not do so yet."""
    key = attempt.key
    if not state.begun:
        return Decision(key, "wait", "for the run's start", until=state.starts)
    if image not in state.images:
        return Decision(key, "wait", "for its image")
    if state.plan.task(key.task).for_each is not None:
        why = state.no_items(key)
        return (
            Decision(key, "wait", "for its items (`for_each`)") if why is None else Decision(key, "fail", why)
        )
    if attempt.rests_until is not None:
        return Decision(key, "wait", "to be tried again", until=attempt.rests_until)
    if (day := state.new_day_for(key)) is not None:
        return Decision(key, "wait", "for a new day: the budget of this one is spent", until=day)
    if (shut := state.shut_for(key.profile)) is not None:
        words = f"for {shut.window}, until {at(shut.until, shut.since)}"
        return Decision(key, "wait", words, until=shut.until)
    return Decision(key, "wait", PAUSED) if state.paused else None


def _never(state: RunState, key: AttemptKey) -> str:
    """Why an attempt that waits will not be started, as things stand; empty if it may be."""
    if state.draining:
        return NOT_STARTED
    if state.over:
        return NOT_BEFORE_END
    if state.needless(key):
        return DECIDED
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
    if not planned.start or planned.start[0] in planned.settled:
        return _Needs(base=state.plan.sources[state.plan.task(planned.task).source].base)
    return _first_served(state, planned.start, held)


def _first_served(state: RunState, candidates: tuple[str, ...], held: set[AttemptKey]) -> _Needs:
    """The one of these attempts that a person chose; else the first, in order, that served.

    Those before it must be over. Where none served, and a person decided to go on without one of their tasks,
    it is where the first of that started. They are of several tasks where any item is enough (`fan_in: any`):
    then one that is skipped counts as one that served.
    """
    keys = [AttemptKey.parse(text) for text in candidates]
    chosen = state.used_of(keys)
    if chosen is not None:
        return _Needs(base=chosen.commit or chosen.base)
    for key in keys:
        tries = state.tries(key)
        winner = next((attempt for attempt in tries if state.serves(attempt)), None)
        if winner is not None:
            return _Needs(base=winner.commit or winner.base)
        if tries[-1].phase != "final" and key not in held:
            return _Needs(open=str(key))
    skipped = next((key for key in keys if key.task in state.skipped), None)
    if skipped is not None:
        first = state.tries(skipped)[0]
        return _Needs(base=first.base) if first.base else _needs(state, state.planned(skipped), held)
    return _Needs(failed=keys[0].task)
