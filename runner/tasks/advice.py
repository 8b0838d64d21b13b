"""What a person should know of a plan's graph before the run: where parallel work is pointless, or meets."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from runner.tasks.graph import topological
from runner.tasks.items import PLACE, VARIABLE
from runner.tasks.leases import Leases, overlap
from runner.tasks.plan import Plan, Task

SHOWN = 5
"""Pairs of tasks with the same paths that are told; the rest is a number."""


def advice(plan: Plan) -> tuple[str, ...]:
    """Notes on a plan's graph."""
    return (*_one_chain(plan), *_one_place(plan), *_meeting(plan), *_unused_items(plan))


def _one_chain(plan: Plan) -> Iterator[str]:
    if plan.mode == "sequential" or len(plan.tasks) < 2 or any(task.for_each for task in plan.tasks):
        return
    needs = {task.id: task.needs for task in plan.tasks}
    order = topological(list(needs), needs)
    if all(one in needs[other] for one, other in pairwise(order)):
        yield "each task needs the one before it: nothing runs side by side, however many --jobs there are"


def _one_place(plan: Plan) -> Iterator[str]:
    if plan.mode == "sequential" or len(plan.tasks) < 2:
        return
    first = plan.tasks[0]
    for path in first.paths:
        if all(_holds(plan, task, first, path) for task in plan.tasks[1:]):
            yield f"all tasks work on {path}: they run one after another, however many --jobs there are"
            return


def _holds(plan: Plan, task: Task, other: Task, path: str) -> bool:
    same = _repository(plan, task) == _repository(plan, other)
    return same and any(overlap(path, own) for own in task.paths)


def _meeting(plan: Plan) -> Iterator[str]:
    """Tasks that declare the same paths, and don't wait for each other anyway."""
    if plan.mode == "sequential":
        return
    leases, met = Leases(), 0
    for task in plan.tasks:
        other = leases.conflict(_repository(plan, task), task.paths, task.id)
        if other is not None and other[1] not in task.needs and not _is_sibling(plan, task, other[1]):
            met += 1
            if met <= SHOWN:
                yield f"tasks {other[1]} and {task.id} both declare {other[0]}: they never run side by side"
        elif other is not None and task.of is not None and task.id == f"{task.of}.2":
            yield f"all items of {task.of} declare {other[0]}: they run one after another"
        leases.take(_repository(plan, task), task.paths, task.id)
    if met > SHOWN:
        yield f"{met - SHOWN} more tasks declare paths that others declare"


def _is_sibling(plan: Plan, task: Task, other: str) -> bool:
    return task.of is not None and plan.task(other).of == task.of


def _unused_items(plan: Plan) -> Iterator[str]:
    """Tasks whose agents are told nothing of their item."""
    profiles: dict[str, set[str]] = {}
    for planned in plan.attempts:
        profiles.setdefault(planned.task, set()).add(plan.profile(planned.profile).settings.cli)
    told: set[str] = set()
    for task in plan.tasks:
        name = task.id if task.for_each is not None else task.of
        said = task.item in task.prompt if task.item is not None else PLACE in task.prompt
        if name is None or name in told or said or profiles.get(task.id) == {"command"}:
            continue
        told.add(name)
        yield f"the prompt of {name} does not hold {PLACE}: its agents find the item in ${VARIABLE} alone"


def _repository(plan: Plan, task: Task) -> str:
    return plan.sources[task.source].git_dir
