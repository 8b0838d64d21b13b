"""Profiles compared: as tables for the terminal and for Markdown, and as plain values for programs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict

from pydantic import JsonValue
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from runner.compare.scored import Comparison, Excluded, Side
from runner.compare.side_by_side import grid
from runner.supervisor.morning.judged import judged
from runner.supervisor.scoring import scored
from runner.supervisor.state import RunState
from runner.views import summary, wording
from runner.views.fitting import Column, Fitting
from runner.views.inert import cell, markdown

HEAD = (
    Column("profile"),
    Column("accepted"),
    Column("rate"),
    Column("95 % interval", importance=8),
    Column("pass@k", importance=4),
    Column("median minutes", importance=5),
    Column("minutes each", importance=3),
    Column("tokens", importance=2),
    Column("cost", importance=6),
    Column("cost each", importance=7),
    Column("left out", importance=1),
    Column("never began", importance=9),
)
"""`each` is for each accepted attempt; a column is left out where there is no room for it, the last one where
everything began."""
TITLE = "side by side"
MOST_EXCLUDED = 20
"""Attempts that do not count which a person is shown, by name; there may be hundreds."""


def terminal(state: RunState, found: Comparison | None = None) -> Iterator[RenderableType]:
    """What each profile did at each task, in all, and what lies between each two.

    Args:
        state: The run.
        found: Its comparison; made anew by default.
    """
    found = found or judged(state).comparison
    yield Text(TITLE, "bold")
    if words := summary.played_words(state):
        yield Text(words, "yellow")
    tasks = Table(box=None, padding=(0, 1), pad_edge=False)
    for name in ("task", *state.plan.compared):
        tasks.add_column(name, header_style="dim")
    for task, verdicts in grid(state.plan.compared, scored(state)):
        tasks.add_row(Text(task), *(Text(v, wording.colour(v)) for v in verdicts))
    yield tasks
    yield Text()
    head = _head(found)
    yield Fitting(head, [[Text(part) for part in _side(side)[: len(head)]] for side in found.profiles])
    if found.pairs:
        yield Text()
    for pair in found.pairs:
        yield cell(pair.words, "bold" if pair.decided else "")
    yield from (cell(words) for words in (*_ranking(found), *found.notes, *_decided(state)))
    for words in _excluded(state, found):
        yield Text("left out: ", "dim") + cell(words)


def text_markdown(state: RunState, found: Comparison | None = None) -> Iterator[str]:
    """The same as Markdown, a line each."""
    found = found or judged(state).comparison
    yield "### Side by side"
    yield ""
    rows = grid(state.plan.compared, scored(state))
    yield from markdown_table(("task", *state.plan.compared), [(task, *verdicts) for task, verdicts in rows])
    yield ""
    # In code, since a forge takes `@k` for somebody's name.
    head = tuple(markdown(column.name) if "@" in column.name else column.name for column in _head(found))
    yield from markdown_table(head, [_side(side)[: len(head)] for side in found.profiles])
    said = [pair.words for pair in found.pairs]
    said += [*_ranking(found), *found.notes, *_decided(state)]
    # The rest are figures and names.
    said += [f"left out: {markdown(words)}" for words in _excluded(state, found)]
    if said:
        yield ""
        yield from (f"- {words}" for words in said)


def as_json(state: RunState, found: Comparison | None = None) -> dict[str, JsonValue]:
    """The comparison of a run for programs; unknown values are None."""
    found = found or judged(state).comparison
    return {
        "schema": 1,
        "run": state.name,
        "profiles": [_side_row(side) for side in found.profiles],
        "tasks": list(_task_rows(state)),
        "pairs": [asdict(pair) for pair in found.pairs],
        "excluded": [asdict(one) for one in found.excluded],
        "better": list(found.better),
        "notes": list(found.notes),
        "scripted": list(summary.scripted(state)),
        "ended_early": state.decided is not None,
    }


def _side_row(side: Side) -> dict[str, JsonValue]:
    row: dict[str, JsonValue] = asdict(side)
    return {**row, "pass_at": {str(k): chance for k, chance in side.pass_at}}


def _task_rows(state: RunState) -> Iterator[dict[str, JsonValue]]:
    """What each profile's attempts came to at each task, in the order of the repeats."""
    rows = [row for row in scored(state) if row.profile in state.plan.compared]
    for task in dict.fromkeys(row.task for row in rows):
        verdicts: dict[str, list[JsonValue]] = {name: [] for name in state.plan.compared}
        for row in rows:
            if row.task == task:
                verdicts[row.profile].append(row.verdict)
        yield {"task": task, "verdicts": {**verdicts}}


def _ranking(found: Comparison) -> Iterator[str]:
    if found.better:
        yield f"in order: {', '.join(found.better)}"
    elif len(found.profiles) > 1:
        yield "nothing is ranked"


def _decided(state: RunState) -> Iterator[str]:
    if state.decided is not None:
        told = state.decided
        yield f"it was ended early, as decided after {told.blocks} of {told.planned} blocks"


def _head(found: Comparison) -> tuple[Column, ...]:
    return HEAD if any(side.never_began for side in found.profiles) else HEAD[:-1]


def _excluded(state: RunState, found: Comparison) -> Iterator[str]:
    yield from never_began(found.excluded)
    begun = [one for one in found.excluded if one.began]
    yield from (f"{one.attempt}: {one.why}" for one in begun[:MOST_EXCLUDED])
    if (more := len(begun) - MOST_EXCLUDED) > 0:
        yield f"and {more} more (`corral compare {state.name} --json` names them)"


def never_began(excluded: Iterable[Excluded]) -> Iterator[str]:
    """How many attempts never began, a line for each cause, that of the most first."""
    for why, many in Counter(one.why for one in excluded if not one.began).most_common():
        yield f"{wording.many(many, 'attempt')} never began: {why}"


def _side(side: Side) -> tuple[str, ...]:
    return (
        side.profile,
        f"{side.accepted} of {side.scored}",
        "-" if side.rate is None else f"{side.rate:.0%}",
        "-" if side.low is None or side.high is None else f"{side.low * 100:.0f} to {side.high:.0%}",
        _pass_at(side),
        _minutes(side.minutes_median),
        _minutes(side.minutes_per_accepted),
        wording.tokens(side.tokens),
        wording.usd(side.usd),
        wording.usd(side.usd_per_accepted),
        str(side.attempts - side.scored),
        str(side.never_began),
    )


def _pass_at(side: Side) -> str:
    """For the largest k; for the first it is near the rate."""
    if len(side.pass_at) < 2:
        return "-"
    k, chance = side.pass_at[-1]
    return f"{chance:.0%} at {k}"


def _minutes(minutes: float | None) -> str:
    return wording.UNKNOWN if minutes is None else f"{minutes:.2f}"


def markdown_table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> Iterator[str]:
    """A table in Markdown; its cells are Markdown already."""
    yield "| " + " | ".join(head) + " |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield "| " + " | ".join(row) + " |"
