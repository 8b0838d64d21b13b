"""What a run ends with, and when it must. Pure."""

from __future__ import annotations

from typing import Literal

from runner.names import AttemptKey
from runner.supervisor import events as e
from runner.supervisor.state import RunState
from runner.supervisor.tried import AttemptState
from runner.supervisor.verdict import RUN_OVER


def exit_code(state: RunState, *, bug: bool = False) -> Literal[0, 1, 3, 4, 5]:
    """The run's exit code, interruption by a signal aside; the highest of what applies."""
    if bug:
        return 5
    tasks = (task.id for task in state.plan.tasks)
    unserved = [task for task in tasks if not (state.task_served(task) or _needless(state, task))]
    if not unserved:
        return 0
    ours = any(
        a.verdict == "infrastructure" and not a.again for k, a in state.attempts.items() if k.task in unserved
    )
    if ours:
        return 3
    given_up = any(_given_up(state, k, a) for k, a in state.attempts.items() if k.task in unserved)
    return 4 if given_up else 1


def _needless(state: RunState, task: str) -> bool:
    """Whether nothing of a task was begun, since the comparison that it is for was decided before."""
    return all(one.started is None and state.needless(one.key) for one in state.attempts.of_task(task))


def _given_up(state: RunState, key: AttemptKey, attempt: AttemptState) -> bool:
    """Whether an attempt did not serve for a budget, a provider's window, or the run's end."""
    if attempt.spent or attempt.ended == "limited":
        return True
    if attempt.verdict is None:
        shut = state.shut_for(key.profile)
        late = state.over or state.late_for(key) is not None
        return late or state.spent_for(key) is not None or (shut is not None and shut.for_good)
    return attempt.ended == "timeout" and attempt.reason == RUN_OVER


def still_ahead(state: RunState, now: float) -> float | None:
    """When a run must end that is taken up again: one that had ended is not bound by an end that passed."""
    passed = state.until is not None and state.until <= now
    return None if passed and state.ended is not None else state.until


def never_started(attempt: str, why: str, now: float) -> tuple[e.Event, ...]:
    """The whole life of an attempt that could not be begun: what happens to it at that time, at once."""
    return (
        e.AttemptEnded(at=now, attempt=attempt, ended="infrastructure", reason=why),
        e.AttemptGathered(at=now, attempt=attempt, work="none"),
        e.AttemptChecked(at=now, attempt=attempt, check="not-run"),
        e.AttemptFinal(at=now, attempt=attempt, verdict="infrastructure"),
    )
