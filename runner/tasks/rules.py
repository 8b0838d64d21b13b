"""What must hold between the parts of a task file, and what this version can't do and says so."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from runner.errors import Problem
from runner.tasks.explain import meant
from runner.tasks.fields import BASE
from runner.tasks.graph import cycles
from runner.tasks.graph_rules import GRAPH_RULES, called
from runner.tasks.outline import Outline, outline, starts_from
from runner.tasks.plan import ALL, CORRAL, PERSON
from runner.tasks.source import Document, shown

MOST_PROBLEMS = 100
"""More are counted, not told; and one rule does not look for more than that."""
MOST_CYCLES = 20
"""More are not named: each one takes a walk through the whole graph."""


def broken(document: Document) -> list[Problem]:
    """Every rule that the document breaks."""
    names = outline(document.data)
    return [
        problem
        for rule in (
            *(_ids, _needs, _cycles, _agents, _compare, _assignment, _prompts, _starts),
            *(_repositories, _mail, *GRAPH_RULES),
        )
        for problem in islice(rule(names, document), MOST_PROBLEMS + 1)
    ]


def _ids(names: Outline, document: Document) -> Iterator[Problem]:
    first: dict[str, int | None] = {}
    for task in names.tasks:
        line = document.line((*task.place, "id"))
        if task.id is not None and task.id in first:
            cure = f"rename one of them; the first is in line {first[task.id]}"
            yield Problem(f"two tasks are called {shown(task.id)}", line, cure)
        elif task.id is not None:
            first[task.id] = line


def _needs(names: Outline, document: Document) -> Iterator[Problem]:
    known = [task.id for task in names.tasks if task.id is not None]
    members = set(known)
    for task in names.tasks:
        for index, name in task.needs:
            if name not in members:
                line = document.line((*task.place, "needs", index))
                yield Problem(
                    f"{called(task)} needs {shown(name)}, which is no task", line, meant(name, known)
                )


def _cycles(names: Outline, document: Document) -> Iterator[Problem]:
    tasks = {task.id: task for task in reversed(names.tasks) if task.id is not None}
    needs = {name: [needed for _, needed in task.needs] for name, task in tasks.items()}
    order = [task.id for task in names.tasks if task.id is not None and tasks[task.id] is task]
    for cycle in islice(cycles(order, needs), MOST_CYCLES):
        words = " needs ".join(shown(name) for name in (*cycle, cycle[0]))
        line = document.line((*tasks[cycle[0]].place, "needs"))
        yield Problem(f"a cycle: {words}", line, "take one `needs` out of it")


def _agents(names: Outline, document: Document) -> Iterator[Problem]:
    if names.agents is None:
        return
    used = [((*task.place, "agent"), task.agent) for task in names.tasks]
    used.append((("default_agent",), names.default))
    used += [(("compare", "agents", index), name) for index, name in names.compared]
    for place, name in used:
        if name is not None and name not in names.agents:
            cure = meant(name, names.agents)
            yield Problem(f"there is no agent {shown(name)} under `agents:`", document.line(place), cure)


def _compare(names: Outline, document: Document) -> Iterator[Problem]:
    if not names.has_compare:
        return
    if names.default is not None:
        line = document.line(("default_agent",))
        yield Problem(
            "`default_agent` and `compare` both claim the tasks without agent", line, "remove one of them"
        )
    if names.tasks and all(task.names_agent for task in names.tasks):
        cure = "remove `agent:` from the tasks to compare, or remove `compare:`"
        yield Problem(
            "`compare` covers no task: every task names its agent", document.line(("compare",)), cure
        )


def _assignment(names: Outline, document: Document) -> Iterator[Problem]:
    if not names.agents or names.has_compare:
        return
    lost = [task for task in names.tasks if not task.names_agent and not names.runs(task)]
    if lost:
        more = f" (and {len(lost) - 1} more)" if len(lost) > 1 else ""
        cure = "give it `agent:`, or the file `default_agent:` or `compare:`"
        message = f"{called(lost[0])}{more} names no agent, and there are {len(names.agents)}"
        yield Problem(message, document.line(lost[0].place), cure)


def _prompts(names: Outline, document: Document) -> Iterator[Problem]:
    for task in names.tasks:
        clis = {(names.agents or {}).get(name) for name in names.runs(task)}
        # An agent that is unknown, or has no known `cli`, is a problem of its own.
        if not task.has_prompt and clis & {"claude", "codex"}:
            yield Problem(
                f"{called(task)} has no prompt",
                document.line((*task.place, "prompt")),
                "say in `prompt:` what is to be done; it is optional for `cli: command` only",
            )


def _starts(names: Outline, document: Document) -> Iterator[Problem]:
    by_id = {task.id: task for task in names.tasks}
    fanned = {task.id for task in names.tasks if task.is_fanned}
    for task in names.tasks:
        needs = [name for _, name in task.needs if name not in fanned]
        line = document.line((*task.place, "from" if task.start is not None else "needs"))
        if task.start is None and len(needs) > 1 and not names.is_sequential:
            cure = f"add `from: {needs[0]}` (one of them), or `from: {BASE}`"
            yield Problem(
                f"{called(task)} needs several tasks, and does not say which to start from", line, cure
            )
        elif task.start in fanned:
            cure = f"write `from: {BASE}`, and `pass: [branch]` to have them all at hand"
            yield Problem(
                f"{called(task)} starts from {shown(task.start)}, which is one for each item", line, cure
            )
        elif task.start not in {None, BASE, *needs}:
            cure = meant(str(task.start), needs) or f"name it in `needs` too, or write `from: {BASE}`"
            yield Problem(
                f"{called(task)} starts from {shown(task.start)}, which it does not need", line, cure
            )
        elif names.is_sequential and task.start is None:
            continue  # it starts from the last work on its own repository and base
        elif (start := by_id.get(starts_from(needs, task.start))) and start.source != task.source:
            message = f"{called(task)} starts from {shown(start.id)}, which has another repository or base"
            yield Problem(message, line, f"add `from: {BASE}`, or give both the same `repo` and `base`")


def _repositories(names: Outline, document: Document) -> Iterator[Problem]:
    top = document.data if isinstance(document.data, dict) else {}
    bounded = top.get("repositories")
    known = {str(task.source[0]) for task in names.tasks}
    for name in bounded if isinstance(bounded, dict) else ():
        if str(name) not in known:
            cure = (
                meant(str(name), sorted(known)) or "write it as a `repo:` does, or `.` where none is written"
            )
            line = document.line(("repositories", str(name)))
            yield Problem(f"no task works on the repository {shown(name)}", line, cure)


def _mail(names: Outline, document: Document) -> Iterator[Problem]:
    top = document.data if isinstance(document.data, dict) else {}
    tasks = top.get("tasks")
    parts = [top, *(task for task in (tasks if isinstance(tasks, list) else ()) if isinstance(task, dict))]
    has_mail = any(part.get("mail") is True or isinstance(part.get("mail"), dict) for part in parts)
    for task in names.tasks if has_mail else ():
        if task.id in {PERSON, ALL, CORRAL}:
            line = document.line((*task.place, "id"))
            yield Problem(
                f"with `mail:`, {shown(task.id)} means somebody else than a task", line, "rename it"
            )
