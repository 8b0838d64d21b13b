"""What is for a person to decide, what they can do about it, and what becomes of it: pure.

A task that no attempt served, and that is not tried again by itself, holds what needs it. A person can have
it tried once more, go on without it, or go on with the work of one of its attempts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from runner.compare.conduct import conduct
from runner.names import AttemptKey
from runner.supervisor import events as e
from runner.supervisor.graph import retrying
from runner.supervisor.graph.schedule import decide
from runner.supervisor.morning.evidence import of_conduct
from runner.supervisor.ownership import orders
from runner.supervisor.state import RunState, apply
from runner.supervisor.tried import AttemptState
from runner.tasks.units import format_size
from runner.tasks.when import SKIPPED

CHEATED = "the audit found that it cheated: see what `show` says first"
MOST_USES = 3
"""Attempts whose work is offered for use; all of them can be used."""


@dataclass(frozen=True)
class Undecided:
    """A task that waits for a person.

    Attributes:
        task: Its id.
        attempts: The last tries of its attempts that did not serve.
        waiting: The attempts that are held until it is decided, also those that need others that are held.
    """

    task: str
    attempts: tuple[AttemptState, ...]
    waiting: tuple[AttemptKey, ...]


def undecided(state: RunState) -> list[Undecided]:
    """The tasks that wait for a person, in the order of the plan.

    What a comparison finds is no failure of a task: a compared one is among them only where something is
    held for it.
    """
    waiting = _waiting(state)
    found = []
    for task in state.plan.tasks:
        last = _last(state, task.id)
        lost = tuple(attempt for attempt in last if not state.counts(attempt))
        if not lost or any(attempt.phase != "final" for attempt in lost):
            continue
        held = tuple(waiting.get(task.id, ()))
        if held or not (task.compared or state.task_served(task.id)):
            found.append(Undecided(task.id, lost, held))
    return found


def _last(state: RunState, task: str) -> list[AttemptState]:
    """The last tries of a task's attempts, as the task file is written."""
    keys = sorted(state.attempts.firsts_of(task), key=state.plan.place)
    return [state.tries(key)[-1] for key in keys]


def _waiting(state: RunState) -> dict[str, list[AttemptKey]]:
    """The attempts that are held, by the task that has to be decided for them."""
    held: dict[str, list[AttemptKey]] = {}
    root: dict[str, str] = {}
    for decision in decide(state, jobs=0):
        if decision.standing == "held" and decision.lacks is not None:
            root[decision.key.task] = root.get(decision.lacks, decision.lacks)
            held.setdefault(root[decision.key.task], []).append(decision.key)
    return held


def commands(state: RunState, one: Undecided) -> list[tuple[str, str]]:
    """What a person can type about it, each with what it is for."""
    run, worst = state.name, one.attempts[0]
    found = [(f"corral show {worst.key} --run {run}", "all that is known of it")]
    if worst.check == "failed":
        found.append((f"corral logs {worst.key} --run {run} --check", "what its check said"))
    elif worst.container is not None:
        found.append((f"corral logs {worst.key} --run {run}", "what its agent did"))
    for attempt in [attempt for attempt in one.attempts if attempt.verdict != SKIPPED][:MOST_USES]:
        more = f" --memory {format_size(advised(state, attempt))}" if attempt.verdict == "oom" else ""
        found.append((f"corral retry {attempt.key.first} --run {run}{more}", "try it once more"))
    number = len(one.waiting)
    them = "what waits for it" if number == 1 else f"the {number} attempts that wait for it"
    without = f"go on with {them}, without it" if number else "let it be: it need not be done"
    found.append((f"corral decide {run} {one.task} skip", without))
    usable = [(_cheated(state, attempt), attempt) for attempt in one.attempts if attempt.has_work]
    usable.sort(key=lambda each: (each[0], each[1].check != "passed"))
    for cheated, attempt in usable[:MOST_USES]:
        what = "go on from its work" if number else "take its work as accepted"
        warning = f"; {CHEATED}" if cheated else ""
        found.append((f"corral decide {run} {one.task} use {attempt.key}", what + warning))
    return found


def _cheated(state: RunState, one: AttemptState) -> bool:
    doing = conduct(of_conduct(one, state.plan.task(one.key.task), accepted=state.serves(one)))
    return any(finding.weight == "cheating" for finding in doing)


def can_go_on(state: RunState, ordered: bool) -> bool:
    """Whether something is left to do in a run that ended.

    Args:
        state: The run.
        ordered: Whether a person ordered something since.
    """
    # What an interruption kept from being tried again is tried once the run is resumed.
    resumed = replace(state, draining=False, stopping=False, over=False)
    return (
        ordered
        or any(attempt.phase != "final" for attempt in state.attempts.values())
        or next(retrying.due(resumed, 0.0), None) is not None
    )


def left_to_do(state: RunState) -> bool:
    """Whether whoever takes a run up has something to finish or to begin."""
    return bool(open_attempts(state))


def open_attempts(state: RunState) -> list[AttemptKey]:
    """What whoever takes a run up has to finish or to begin, in the order of the plan."""
    resumed = apply(state, e.RunResumed(at=state.started, jobs=1))
    again = {AttemptKey.parse(follows.attempt).first for follows in retrying.due(resumed, 0.0)}
    closed = {"final", "held"}
    stands = decide(resumed, jobs=0)
    return [one.key for one in stands if one.standing not in closed or one.key.first in again]


def advised(state: RunState, attempt: AttemptState) -> int:
    """Bytes of memory to give an attempt that ran out of it: twice as many; what it needs, nobody knows."""
    return 2 * state.limits(attempt.key).memory


def obey(state: RunState, order: orders.Retry | orders.Decide, now: float) -> e.Event | str:
    """What an order leads to; or, in words, why it can't be done."""
    if isinstance(order, orders.Retry):
        return _retry(state, order, now)
    if all(task.id != order.task for task in state.plan.tasks):
        return f"there is no task {order.task!r}"
    if order.what == "skip":
        return _skip(state, order, now)
    return _use(state, order, now)


def _retry(state: RunState, order: orders.Retry, now: float) -> e.Event | str:
    planned = next((p for p in state.plan.attempts if str(p.key) == order.attempt), None)
    if planned is None:
        return f"there is no attempt {order.attempt!r}"
    last = state.tries(planned.key)[-1]
    if last.phase != "final":
        return f"{last.key} has not ended"
    if state.counts(last):
        return f"{last.key} served: there is nothing to try again"
    if last.verdict == SKIPPED:
        return f"{last.key} was not wanted: try again what its `when` asks about, and it is judged anew"
    if (spent := state.spent_for(last.key)) is not None:
        return f"the budget of its {spent} is spent"
    if order.session == "resume" and not retrying.can_go_on(last):
        return f"{last.key} can't go on: its HOME, or its work, was not kept"
    return retrying.told(
        state, last, now, "person", session=order.session, memory=order.memory, note=order.note
    )


def _skip(state: RunState, order: orders.Decide, now: float) -> e.Event | str:
    last = _last(state, order.task)
    if any(attempt.phase != "final" for attempt in last):
        return f"{order.task} has not ended"
    used = any(key.task == order.task for key in state.used)  # that word can be taken back
    if not used and all(state.counts(attempt) for attempt in last):
        return f"{order.task} served: there is nothing to decide"
    return e.TaskDecided(at=now, task=order.task, what="skip")


def _use(state: RunState, order: orders.Decide, now: float) -> e.Event | str:
    attempt = next((a for a in state.attempts.values() if str(a.key) == order.attempt), None)
    if attempt is None or attempt.key.task != order.task:
        return f"there is no attempt {order.attempt!r} of {order.task}"
    if attempt.phase != "final":
        return f"{attempt.key} has not ended"
    if not attempt.has_work:
        return f"{attempt.key} has no branch to go on from"
    return e.TaskDecided(at=now, task=order.task, what="use", attempt=str(attempt.key))
