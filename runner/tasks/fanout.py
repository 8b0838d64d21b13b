"""From a task with `for_each` and its items to a task for each item, and to what waits for all of them.

The same pure function serves the plan, where items are written or are files, and the run, where a command
printed them: the state's plan is then what the journaled plan and the journaled items make.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
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
    changed = {"tasks": tasks, "attempts": ordered(attempts, tasks, plan.compared, plan.seed)}
    # Made anew, since a copy would keep what was looked up in the other one.
    return Plan(**{name: getattr(plan, name) for name in Plan.model_fields} | changed)


def ordered(
    attempts: Sequence[PlannedAttempt],
    tasks: Sequence[Task],
    compared: Sequence[str],
    seed: int | None = None,
) -> tuple[PlannedAttempt, ...]:
    """Attempts in the order of a plan: what one needs before it, else the first repeat of every task before
    the second, and profiles side by side.

    Attempts at one task in one repeat are a block, and are neighbours. With a seed the blocks of compared
    tasks change places among themselves within a repeat, and profiles within a block, so that neither the
    time of night nor who goes first favours anyone (a randomised complete block design).

    Args:
        attempts: The attempts.
        tasks: Their tasks, in the order in which they are written.
        compared: The profiles that are compared, in their order.
        seed: What the order is drawn from: the same one gives the same order, on every machine.
    """
    profile_rank = {name: rank for rank, name in enumerate(compared)}
    task_rank = {task.id: rank for rank, task in enumerate(tasks)}
    blocks: dict[str, list[PlannedAttempt]] = {}
    for one in sorted(attempts, key=lambda one: (one.n, task_rank[one.task])):
        blocks.setdefault(_block(one.task, one.n), []).append(one)
    names = list(blocks)
    if seed is not None:
        names = _blocks_drawn(blocks, {task.id for task in tasks if task.compared}, seed)
    before = {
        name: {other for one in block for other in _blocks_before(one)} for name, block in blocks.items()
    }
    return tuple(
        one
        for name in topological(names, before)
        for one in sorted(
            blocks[name],
            key=lambda one: (
                profile_rank.get(one.profile, 0)
                if seed is None
                else _lot(seed, "profile", one.task, str(one.n), one.profile)
            ),
        )
    )


def _block(task: str, n: int) -> str:
    """What attempts at one task in one repeat have in common."""
    return f"{task}/{n}"


def _blocks_before(one: PlannedAttempt) -> Iterator[str]:
    """The blocks that hold what an attempt needs."""
    for name in {*chain.from_iterable(one.after), *one.start, *one.settled, *one.previous}:
        task, _, n = name.split("/")
        yield _block(task, int(n))


def _blocks_drawn(
    blocks: Mapping[str, Sequence[PlannedAttempt]], compared: Collection[str], seed: int
) -> list[str]:
    """The blocks with those of compared tasks in an order that is drawn, each repeat for itself."""
    drawn: dict[int, list[str]] = {}
    for name, (first, *_) in blocks.items():
        if first.task in compared:
            drawn.setdefault(first.n, []).append(name)
    places = {
        n: iter(sorted(names, key=lambda name: _lot(seed, "block", name))) for n, names in drawn.items()
    }
    return [next(places[block[0].n]) if block[0].task in compared else name for name, block in blocks.items()]


def _lot(seed: int, *about: str) -> bytes:
    """A lot that is drawn for something, by which it is put in order.

    It is a hash and no stream of random numbers: so it is the same under every version of Python, and one
    that is there already keeps its lot when the items of a task become known.
    """
    return hashlib.sha256("/".join((str(seed), *about)).encode()).digest()


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
