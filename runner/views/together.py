"""How accepted branches go together: which conflict, and what came of putting them together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from runner.gather.conflicts import Matrix, Meeting
from runner.names import AttemptKey
from runner.supervisor import events as e
from runner.supervisor.morning.chosen import Outdated, outdated
from runner.supervisor.state import RunState
from runner.supervisor.verdict import Check
from runner.views import wording
from runner.views.inert import cell, line, markdown

Matrices = Mapping[str, Matrix]
"""By repository."""

MOST_PAIRS = 30
"""Pairs listed; of more their number is told."""
FILES = 3
"""Files named of one pair."""
UNCHECKED = "no check was run on them together"


def terminal(state: RunState, matrices: Matrices) -> Iterator[RenderableType]:
    """The pairs that conflict, and what was put together."""
    for name, matrix in matrices.items():
        if pairs := conflicting(matrix):
            yield Text()
            yield Text("conflicts", "bold") + Text(_whose(name, len(matrices)), "dim")
            yield _pairs(pairs)
            yield from (Text(f"  {words}", "dim") for words in _more(matrix, pairs))
    old = outdated(state)
    for name, event in state.integrated.items():
        yield Text()
        yield from integrated(event, len(state.integrated))
        if name in old:
            yield cell(f"  {now_otherwise(state, old[name])}", "yellow")


def integrated(event: e.Integrated, many: int = 1) -> Iterator[RenderableType]:
    """What came of one repository's branches."""
    yield Text("put together", "bold") + Text(_whose(event.repo, many), "dim")
    yield cell(f"  {headline(event)}")
    table = Table(box=None, show_header=False, padding=(0, 1), pad_edge=True)
    for one in event.joined:
        style = "green" if one.went_in else "dim" if one.cause == "same" else "yellow"
        table.add_row(Text(_standing(one), style), Text(one.attempt), cell(_why(one)))
    yield table


def headline(event: e.Integrated) -> str:
    """How many went in, where they are, and what the checks said of all of them."""
    there = sum(one.went_in for one in event.joined)
    where = f", on {event.branch}" if event.branch is not None else ""
    return f"{there} of {wording.many(len(event.joined), 'branch', 'branches')} in{where}; {_checked(event)}"


def lines(state: RunState, matrices: Matrices) -> Iterator[str]:
    """The same as Markdown."""
    for name, matrix in matrices.items():
        if pairs := conflicting(matrix):
            yield from ("", f"### Conflicts{_marked(name, len(matrices))}", "")
            yield from ("| branch | and | files |", "|---|---|---|")
            for pair in pairs[:MOST_PAIRS]:
                files = " ".join(markdown(file) for file in pair.files[:FILES]) or markdown(pair.why)
                yield f"| {markdown(pair.a)} | {markdown(pair.b)} | {files} |"
            yield from (part for words in _more(matrix, pairs) for part in ("", words))
    old = outdated(state)
    for event in state.integrated.values():
        yield from ("", f"### Put together{_marked(event.repo, len(state.integrated))}", "")
        yield from (markdown(headline(event)), "")
        if event.repo in old:
            yield from (markdown(now_otherwise(state, old[event.repo])), "")
        yield from ("| | branch | |", "|---|---|---|")
        for one in event.joined:
            yield f"| {_standing(one)} | {markdown(one.attempt)} | {markdown(_why(one))} |"


def now_otherwise(state: RunState, old: Outdated) -> str:
    """That others would be put together now, and which."""
    parts = [f"with {_some(old.new)}" if old.new else "", f"without {_some(old.gone)}" if old.gone else ""]
    said = " and ".join(filter(None, parts))
    return f"out of date: it would be put together {said} now (corral integrate {state.name})"


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - FILES} more" if len(names) > FILES else ""
    return ", ".join(names[:FILES]) + more


def conflicting(matrix: Matrix) -> list[Meeting]:
    """The pairs that a person should know of: not those of one task, of which one goes in only."""
    return [
        one
        for one in matrix.meetings
        if one.kind != "clean" and AttemptKey.parse(one.a).task != AttemptKey.parse(one.b).task
    ]


def _pairs(pairs: Sequence[Meeting]) -> Table:
    table = Table(box=None, padding=(0, 1), pad_edge=True)
    for name in ("branch", "and", "files"):
        table.add_column(name, header_style="dim")
    for one in pairs[:MOST_PAIRS]:
        files = ", ".join(one.files[:FILES]) + (" …" if len(one.files) > FILES else "")
        table.add_row(Text(one.a), Text(one.b), cell(files if one.kind == "conflict" else one.why))
    return table


def _more(matrix: Matrix, pairs: Sequence[Meeting]) -> Iterator[str]:
    if len(pairs) > MOST_PAIRS:
        yield f"and {len(pairs) - MOST_PAIRS} more pairs"
    clean = sum(one.kind == "clean" for one in matrix.meetings)
    if clean:
        yield f"{wording.many(clean, 'other pair')} that share files merge"


def _checked(event: e.Integrated) -> str:
    if not event.checks:
        return UNCHECKED
    said: dict[Check, int] = {}
    for one in event.checks:
        said[one.check] = said.get(one.check, 0) + 1
    words = ", ".join(f"{count} {check}" for check, count in said.items())
    return f"checks on all of it: {words} ({wording.many(event.check_runs, 'check run')})"


def _standing(one: e.Joined) -> str:
    return "in" if one.went_in else "the same" if one.cause == "same" else "left out"


def _why(one: e.Joined) -> str:
    files = f": {', '.join(one.files[:FILES])}" + (" …" if len(one.files) > FILES else "")
    return line(one.why) + (files if one.files else "")


def unnamed(one: e.Joined) -> list[str]:
    """The others with which it does not go that `why` does not name."""
    named = {word.rstrip(",:;") for word in one.why.split()}
    return [name for name in one.with_ if name not in named]


def _whose(name: str, many: int) -> str:
    return f"  {line(name)}" if many > 1 else ""


def _marked(name: str, many: int) -> str:
    return f" in {markdown(name)}" if many > 1 else ""
