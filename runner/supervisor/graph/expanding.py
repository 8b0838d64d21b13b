"""Tasks whose items a command tells: which is to be asked now, and what is told of the answer."""

from __future__ import annotations

import time

from runner.agents import catalog
from runner.errors import CorralError
from runner.names import AttemptKey
from runner.supervisor import events as e
from runner.supervisor.attempt.expansion import NoItemsError, StoppedError, find_items, items_spec
from runner.supervisor.attempt.spec import AttemptSpec, Orders, Rooms
from runner.supervisor.journal import LeaseLostError
from runner.supervisor.state import RunState
from runner.tasks.fanout import FanOutError, expand
from runner.tasks.plan import Plan

TRIES = 2
"""How often the command is run where the engine fails it."""


def due(state: RunState) -> AttemptKey | None:
    """A try of the first task whose items can be found out now; None if there is none."""
    if state.draining or state.over or state.paused or not state.begun:
        return None
    tasks = {task.id: task for task in state.plan.waiting}
    for planned in state.plan.attempts if tasks else ():
        image = catalog.layer(state.plan.profile(planned.profile).settings)
        if planned.task not in tasks or (tasks[planned.task].source, image) not in state.images:
            continue
        last = state.tries(planned.key)[-1]
        if last.phase == "queued" and state.no_items(last.key) is None:
            return last.key
    return None


def outcome(spec: AttemptSpec, box: str, rooms: Rooms, orders: Orders, plan: Plan) -> e.Event | None:
    """What is told of a task's items; None where it was stopped, and is to be asked again.

    Args:
        spec: An attempt of the task.
        box: What the box is called in which the command is run.
        rooms: What it works with.
        orders: What ends it from outside.
        plan: What the items become a part of.
    """
    task = spec.task.id
    for number in range(1, TRIES + 1):
        try:
            items = find_items(items_spec(spec, box), rooms, orders)
            expand(plan, task, items)
        except StoppedError:
            return None
        except (NoItemsError, FanOutError, LeaseLostError) as refused:  # the journal takes none of the last
            return unknown(spec.key, str(refused))
        except (CorralError, OSError) as fault:
            if number == TRIES:
                return unknown(spec.key, str(fault))
        else:
            return e.TaskExpanded(at=time.time(), task=task, items=items)
    return None


def unknown(key: AttemptKey, why: str) -> e.TaskNotExpanded:
    """What is told of a task whose items nobody knows, by the try for which they were asked."""
    return e.TaskNotExpanded(at=time.time(), task=key.task, reason=why, tries=key.try_)
