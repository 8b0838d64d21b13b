"""What compared profiles are compared by, and how far a comparison has come: read off a run's state."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import takewhile
from typing import TypeVar

from runner.compare.blocks import Block
from runner.compare.comparing import ALPHA, compare
from runner.compare.early import Watched
from runner.compare.scored import Comparison, Scored, Unbegun
from runner.names import AttemptKey
from runner.supervisor.graph.schedule import decide
from runner.supervisor.state import RunState
from runner.supervisor.tried import AttemptState
from runner.supervisor.verdict import RUN_OVER
from runner.tasks.plan import Plan
from runner.tasks.when import SKIPPED

N = TypeVar("N", int, float)


def scored(state: RunState) -> list[Scored]:
    """What the compared profiles are compared by.

    A try that ended as infrastructure and was made again does not count. Of the others it is the first; or,
    where retries are a part of what is compared, what came of them in the end, for what all of them took. A
    try that a person ordered never counts.
    """
    rows = []
    for them in _compared(state):
        attempt = them[-1]
        if attempt.verdict not in {None, SKIPPED}:
            rows.append(
                Scored(
                    task=attempt.key.task,
                    profile=attempt.key.profile,
                    n=attempt.key.n,
                    verdict=attempt.verdict,
                    accepted=state.serves(attempt),
                    seconds=total([one.seconds for one in them]),
                    tokens=total([one.tokens for one in them]),
                    usd=total([one.usd for one in them]),
                    attempt=str(attempt.key),
                    at=them[0].started,
                )
            )
    return rows


def unbegun(state: RunState) -> list[Unbegun]:
    """The attempts of compared profiles that were planned and, as things stand, never begin; and why.

    What is held may still begin later: where the run is taken up again, or a person decides.
    """
    held = {one.key: one.why for one in decide(state, 0) if one.standing == "held"}
    keys = (them[-1].key for them in _compared(state))
    return [Unbegun(str(key), key.task, key.profile, key.n, held[key]) for key in keys if key in held]


def _compared(state: RunState) -> Iterator[list[AttemptState]]:
    """Of each compared attempt the tries that count, as the task file is written."""
    for planned in sorted(state.plan.attempts, key=lambda one: state.plan.place(one.key)):
        if state.plan.task(planned.task).compared:
            yield counted(state.plan, state.tries(planned.key))


def counted(plan: Plan, tries: Sequence[AttemptState]) -> list[AttemptState]:
    """The tries of a compared attempt that count: one at least."""
    own = list(takewhile(lambda one: one.retry is None or one.retry.why != "person", tries))
    fair = [one for one in own if not (one.verdict == "infrastructure" and one.again)]
    if plan.compared_retry:
        return fair or own[-1:]
    return fair[:1] or own[-1:]


def total(figures: list[N | None]) -> N | None:
    """All of it; unknown if a part is."""
    known = [figure for figure in figures if figure is not None]
    return sum(known, start=type(known[0])()) if known and len(known) == len(figures) else None


def left_out(state: RunState) -> dict[str, str]:
    """The attempts that say nothing of their profile for what befell the run, and why, by their names.

    Those that a verdict of its own leaves out (`compare.blocks.OUTSIDE`) are not among them.
    """
    found = {}
    for one in state.attempts.values():
        if one.ended == "timeout" and one.reason == RUN_OVER:
            found[str(one.key)] = "the run's end came before its own"
        elif one.spent not in {"", "attempt"}:
            found[str(one.key)] = f"the budget of its {one.spent}, which others share, was spent"
    return found


def comparison(
    state: RunState,
    unfair: dict[str, str] | None = None,
    alpha: float = ALPHA,
    rows: Sequence[Scored] | None = None,
) -> Comparison:
    """The compared profiles of a run, compared.

    Args:
        state: The run.
        unfair: More attempts that do not count, and why.
        alpha: The error rate.
        rows: What was scored, as it counts; as it is by default.
    """
    profiles = [(name, state.plan.profile(name).hash) for name in state.plan.compared]
    excluded = {**left_out(state), **(unfair or {})}
    watched = None
    if state.plan.stops_when_decided:
        progress = Progress.of(state)
        if progress.is_complete(state):  # else nobody has looked yet, and the test at the end holds
            watched = Watched(progress.blocks, progress.follow(state))
    known = scored(state) if rows is None else rows
    found = compare(profiles, known, excluded, alpha, watched=watched, unbegun=unbegun(state))
    return replace(found, notes=(*found.notes, *_unknown(state.plan)))


def _unknown(plan: Plan) -> Iterator[str]:
    """Which tasks are not in a comparison since nobody knows their items."""
    waiting = [task.id for task in plan.waiting if task.compared]
    if waiting:
        yield f"the items of {', '.join(waiting)} are not known: what is said is of the other tasks alone"


class Progress:
    """How far a comparison has come, block by block in the order of its plan.

    Attributes:
        plan: The run's.
        blocks: What every compared profile does once, in the order in which it is planned.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.blocks = plan.blocks
        self._templates = [block for block in self.blocks if plan.task(block[0]).for_each is not None]
        self._gone: set[Block] = set()
        self._reached = 0
        self._lost: set[AttemptKey] = set()

    @classmethod
    def of(cls, state: RunState) -> Progress:
        """That of a run as it stands: what was decided was decided on the blocks that there were then.

        What a person lets a task's items be known for afterwards is none of it.
        """
        progress = cls(state.plan)
        if state.decided is not None:
            progress.blocks, progress._templates = state.decided_on, []
            progress._gone = {*state.decided_on} - {*state.plan.blocks}
            progress._reached = state.decided.blocks
        return progress

    def follow(self, state: RunState) -> int:
        """How many blocks are over now, from the first on: all attempts have ended, or one can't begin.

        None, as long as items may still become known: the blocks are others then, in another order.
        """
        if not self.is_complete(state):
            return 0
        while self._reached < len(self.blocks) and self._is_over(state, self.blocks[self._reached]):
            self._reached += 1
        return self._reached

    def is_complete(self, state: RunState) -> bool:
        """Whether it is known what all is compared: no task's items may still become known."""
        return all(self._is_over(state, block) for block in self._templates)

    def _is_over(self, state: RunState, block: Block) -> bool:
        if block in self._gone:
            return False
        task, n = block
        keys = [AttemptKey(task, profile, n) for profile in self.plan.compared]
        lost = [key for key in keys if self._is_lost(state, key)]
        self._lost.update(lost)
        return bool(lost) or all(counted(state.plan, state.tries(key))[-1].phase == "final" for key in keys)

    def _is_lost(self, state: RunState, key: AttemptKey) -> bool:
        """Whether what an attempt needs has failed it, so that it is never begun."""
        groups = (tuple(map(AttemptKey.parse, group)) for group in state.planned(key).after)
        return any(all(self._fails(state, one) for one in group) for group in groups)

    def _fails(self, state: RunState, key: AttemptKey) -> bool:
        tries = state.tries(key)
        if key.task in state.skipped or any(state.counts(one) for one in tries):
            return False
        return key in self._lost or tries[-1].phase == "final"
