"""From a task with `for_each` and its items to a task for each item, and to what waits for all of them.

The same pure function serves the plan, where items are written or are files, and the run, where a command
printed them: the state's plan is then what the journaled plan and the journaled items make.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain

from runner import names
from runner.names import AttemptKey
from runner.tasks.fields import RefusedError, tree_path
from runner.tasks.graph import topological
from runner.tasks.items import PLACE
from runner.tasks.plan import Plan, PlannedAttempt, Task

MOST_ATTEMPTS = 10_000
MOST_LINKS = 50_000
"""Of which attempt needs which, in one plan: two tasks of hundreds of items, each of which needs each."""
MOST_WORDS = 64 * 1024**2
"""Characters of all prompts of a plan."""


class FanOutError(ValueError):
    """Why a task can't be done for these items, and what to do instead."""

    def __init__(self, message: str, cure: str) -> None:
        super().__init__(message)
        self.cure = cure


def item_task(task: str, number: int) -> str:
    """What the task of an item is called; items count from 1."""
    return f"{task}.{number}"


def expand(plan: Plan, task: str, items: Sequence[str]) -> Plan:
    """The plan with a task for each item in the place of a task with `for_each`.

    Args:
        plan: A plan that still holds that task.
        task: Its id.
        items: Its items (see `tasks.items`).

    Raises:
        FanOutError: The plan would grow too large, or an item is no path where `paths` names it.
    """
    template = plan.task(task)
    made = {number: _of_item(template, number, item) for number, item in enumerate(items, start=1)}
    tasks = tuple(chain.from_iterable(made.values() if t.id == task else (t,) for t in plan.tasks))
    chained = plan.mode == "sequential"
    before = {str(p.key): p.previous for p in plan.attempts if p.task == task}
    attempts: list[PlannedAttempt] = []
    for planned in plan.attempts:
        if planned.task == task:
            attempts += (_attempt_of(planned, task, number, chained=chained) for number in made)
        else:
            attempts.append(_after_items(planned, plan.task(planned.task), task, len(made), before))
    _bounded(task, tasks, attempts)
    changed = {"tasks": tasks, "attempts": ordered(attempts, tasks, plan.compared)}
    # Made anew, since a copy would keep what was looked up in the other one.
    return Plan(**{name: getattr(plan, name) for name in Plan.model_fields} | changed)


def ordered(
    attempts: Sequence[PlannedAttempt], tasks: Sequence[Task], compared: Sequence[str]
) -> tuple[PlannedAttempt, ...]:
    """Attempts in the order of a plan: what one needs before it, else the first repeat of every task before
    the second, and profiles side by side."""
    profile_rank = {name: rank for rank, name in enumerate(compared)}
    task_rank = {task.id: rank for rank, task in enumerate(tasks)}
    by_name = {str(attempt.key): attempt for attempt in attempts}
    order = sorted(
        by_name,
        key=lambda name: (
            by_name[name].n,
            task_rank[by_name[name].task],
            profile_rank.get(by_name[name].profile, 0),
        ),
    )
    before = {
        name: {*chain.from_iterable(one.after), *one.start, *one.settled, *one.previous}
        for name, one in by_name.items()
    }
    return tuple(by_name[name] for name in topological(order, before))


def _of_item(template: Task, number: int, item: str) -> Task:
    name = item_task(template.id, number)
    if not names.is_id(name):
        raise FanOutError(f"{name!r} is too long for a task's name", "give the task a shorter one")
    return template.model_copy(
        update={
            "id": name,
            "prompt": template.prompt.replace(PLACE, item),
            "paths": tuple(_path(template.id, path, item) for path in template.paths),
            "for_each": None,
            "of": template.id,
            "item": item,
        }
    )


def _path(task: str, path: str, item: str) -> str:
    if PLACE not in path:
        return path
    try:
        return tree_path(path.replace(PLACE, item))
    except RefusedError as error:
        said = f"an item of task {task!r} is no path, as its `paths` wants it: {error}"
        raise FanOutError(said, "let the items be paths of the repository, or take `{item}` out") from error


def _attempt_of(template: PlannedAttempt, task: str, number: int, *, chained: bool) -> PlannedAttempt:
    """An item's attempt; in a sequential run it comes after that of the item before."""
    following = chained and number > 1
    before = (_named(str(template.key), number - 1),) if following else template.previous
    return template.model_copy(update={"task": item_task(task, number), "previous": before})


def _after_items(
    planned: PlannedAttempt, own: Task, task: str, count: int, before: Mapping[str, tuple[str, ...]]
) -> PlannedAttempt:
    """What an attempt of another task needs, where it needed the task with `for_each`."""
    after: list[tuple[str, ...]] = []
    settled = list(_each(planned.settled, task, count))
    for group in planned.after:
        if not any(_is_of(name, task) for name in group):
            after.append(group)
            continue
        groups = [tuple(_named(name, number) for name in group) for number in range(1, count + 1)]
        everything = tuple(chain.from_iterable(groups))
        after += ([everything] if everything else []) if own.any_item else groups
        settled += everything if own.any_item else ()
    previous = tuple(
        chain.from_iterable(
            ((_named(name, count),) if count else before[name]) if name in before else (name,)
            for name in planned.previous
        )
    )
    changed = {"after": tuple(after), "settled": tuple(dict.fromkeys(settled)), "previous": previous}
    return planned.model_copy(update=changed)


def _each(them: Sequence[str], task: str, count: int) -> tuple[str, ...]:
    return tuple(
        chain.from_iterable(
            [_named(name, number) for number in range(1, count + 1)] if _is_of(name, task) else [name]
            for name in them
        )
    )


def _is_of(attempt: str, task: str) -> bool:
    return attempt.partition("/")[0] == task


def _named(attempt: str, number: int) -> str:
    """An item's attempt by that of the task with `for_each`."""
    key = AttemptKey.parse(attempt)
    return str(AttemptKey(item_task(key.task, number), key.profile, key.n))


def _bounded(task: str, tasks: Sequence[Task], attempts: Sequence[PlannedAttempt]) -> None:
    if len(attempts) > MOST_ATTEMPTS:
        said = f"with the items of task {task!r} there are {len(attempts)} attempts; at most {MOST_ATTEMPTS}"
        raise FanOutError(said, "let it have fewer items, or split the file")
    links = sum(sum(map(len, one.after)) + len(one.settled) for one in attempts)
    if links > MOST_LINKS:
        said = f"with the items of task {task!r} attempts need each other {links} times; at most {MOST_LINKS}"
        raise FanOutError(
            said, "put a task between the two that have many items: it needs the one, and the other it"
        )
    if sum(len(one.prompt) for one in tasks) > MOST_WORDS:
        said = f"with the items of task {task!r} all prompts have more than {MOST_WORDS // 1024**2} MiB"
        raise FanOutError(said, "put what is the same for all of them into a file of the repository")
