"""What must hold between the tasks of a file that make a graph: who is named, asked, and waited for."""

from __future__ import annotations

import re
from collections.abc import Iterator

from runner.errors import Problem
from runner.tasks.explain import meant
from runner.tasks.items import PLACE, VARIABLE
from runner.tasks.outline import Outline, TaskOutline
from runner.tasks.source import Document, shown
from runner.tasks.when import COUNTS, Comparison, WhenError, comparisons, parse


def called(task: TaskOutline) -> str:
    """A task in words, by its id where it has one."""
    return f"task {shown(task.id)}" if task.id is not None else f"task number {task.index + 1}"


def _mentions(names: Outline, document: Document) -> Iterator[Problem]:
    for task in names.tasks:
        if task.mention is None:
            continue
        line = document.line((*task.place, "prompt"))
        if task.agent is not None:
            said = f"{called(task)} has an `agent`, and its prompt names one: {shown(f'@{task.mention}')}"
            yield Problem(said, line, "say it once")
        elif names.agents is not None and task.mention not in names.agents:
            cure = meant(task.mention, names.agents) or "put another word in front, if no agent is meant"
            yield Problem(
                f"{called(task)}: its prompt begins with an agent that there is not: {shown(task.mention)}",
                line,
                cure,
            )


def _whens(names: Outline, document: Document) -> Iterator[Problem]:
    by_id = {task.id: task for task in names.tasks if task.id is not None}
    for task in names.tasks:
        line = document.line((*task.place, "when"))
        for one in _asked(task):
            if one.task not in by_id:
                yield Problem(
                    f"{called(task)}: `when` asks {shown(one.task)}, which is no task",
                    line,
                    meant(one.task, by_id),
                )
            elif one.task not in {name for _, name in task.needs}:
                cure = f"add {one.task} to `needs`: it must have ended before that can be asked"
                yield Problem(
                    f"{called(task)}: `when` asks {shown(one.task)}, which it does not need", line, cure
                )
            elif by_id[one.task].is_fanned != (one.fact in COUNTS):
                yield _wrong_fact(task, one, line)


def _wrong_fact(task: TaskOutline, one: Comparison, line: int | None) -> Problem:
    if one.fact in COUNTS:
        said = (
            f"{called(task)}: `when` asks how many {one.fact} {shown(one.task)} has, which has no `for_each`"
        )
        return Problem(said, line, f"ask for its verdict, like `{one.task}.verdict == 'accepted'`")
    said = (
        f"{called(task)}: `when` asks for the {one.fact} of {shown(one.task)}, which is done for many items"
    )
    return Problem(said, line, f"ask for {', '.join(COUNTS)}, like `{one.task}.failed > 0`")


def _asked(task: TaskOutline) -> tuple[Comparison, ...]:
    """What `when` compares; nothing where it is not understood, which is reported already."""
    try:
        return tuple(comparisons(parse(task.when))) if task.when is not None else ()
    except WhenError:
        return ()


def _items(names: Outline, document: Document) -> Iterator[Problem]:
    fanned = [task.id for task in names.tasks if task.is_fanned and task.id is not None]
    taken = re.compile("|".join(rf"{re.escape(name)}\.[0-9]+" for name in fanned) or r"(?!)")
    for task in names.tasks:
        if task.id is not None and taken.fullmatch(task.id):
            line = document.line((*task.place, "id"))
            said = f"{called(task)} is called as the task of an item of {shown(task.id.rpartition('.')[0])}"
            yield Problem(said, line, "rename one of them")
        if task.is_fanned and task.check is not None and PLACE in task.check:
            line = document.line((*task.place, "check"))
            cure = f'write "${VARIABLE}", in double quotes: an item is data, and `check` is a program'
            yield Problem(f"{called(task)}: {PLACE} in `check`", line, cure)
        if "fan_in" in task.keys and not any(name in fanned for _, name in task.needs):
            line = document.line((*task.place, "fan_in"))
            said = f"{called(task)}: `fan_in`, but nothing that it needs has `for_each`"
            yield Problem(said, line, "remove it")


def _others(names: Outline, document: Document) -> Iterator[Problem]:
    for task in names.tasks:
        if "pass" in task.keys and not task.needs:
            line = document.line((*task.place, "pass"))
            yield Problem(
                f"{called(task)}: `pass`, but it needs no task", line, "name in `needs` whose results it gets"
            )
        if "outside_paths" in task.keys and "paths" not in task.keys:
            line = document.line((*task.place, "outside_paths"))
            yield Problem(
                f"{called(task)}: `outside_paths` without `paths`", line, "say in `paths` what it may change"
            )


GRAPH_RULES = (_mentions, _whens, _items, _others)
