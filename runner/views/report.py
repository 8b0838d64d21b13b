"""The report of a run: for the terminal, and as Markdown for a step summary or a pull request."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from runner.compare.side_by_side import Side, grid, side_by_side
from runner.supervisor.schedule import decide
from runner.supervisor.state import AttemptState, RunState
from runner.views import summary, wording
from runner.views.inert import block, cell, line, markdown

HEAD = ("attempt", "verdict", "check", "time", "peak memory", "tokens", "change")
SIDES = ("profile", "accepted", "of scored", "rate", "median minutes", "tokens", "not scored")


def terminal(state: RunState) -> RenderableType:
    """The report as tables."""
    parts: list[RenderableType] = [headline(state), _attempts(state), *_remarks(state)]
    if state.plan.compared:
        parts += [Text(), *_compared(state)]
    branches = [attempt for attempt in state.attempts.values() if attempt.branch]
    if branches:
        parts += [Text(), Text("branches", "bold")]
        parts += [Text(f"  {a.branch}  ") + Text(wording.diff_stat(a), "dim") for a in branches]
    parts += [Text(f"note: {line(note)}", "yellow") for note in (*state.weaker, *state.plan.notes)]
    return Group(*parts)


def text_markdown(state: RunState) -> str:
    """The report as Markdown."""
    return "\n".join(_markdown_lines(state)) + "\n"


def attempt(state: RunState, one: AttemptState, log: Path) -> RenderableType:
    """All that is known of one attempt."""
    table = Table(box=None, show_header=False, padding=(0, 1), pad_edge=False)
    for name, value in summary.attempt_row(state, one).items():
        if value not in (None, []):
            shown = ", ".join(map(str, value)) if isinstance(value, list) else value
            table.add_row(Text(name, "dim"), cell(shown))
    table.add_row(Text("output", "dim"), cell(log))
    task = state.plan.task(one.key.task)
    return Group(table, Text(), Text("prompt", "dim"), Text(block(task.prompt, 4000)))


def diff(text: str) -> Text:
    """A diff, already inert, coloured."""
    styles = {"+": "green", "-": "red", "@": "cyan"}
    shown = Text()
    for row in text.splitlines():
        head = row.startswith(("diff ", "index ", "+++", "---"))
        shown.append(row + "\n", "bold" if head else styles.get(row[:1], ""))
    return shown


def next_steps(state: RunState) -> RenderableType:
    """What a person may want to do after a run."""
    with_branch = [one for one in state.attempts.values() if one.branch]
    best = next((one for one in with_branch if state.serves(one)), with_branch[0] if with_branch else None)
    steps = ["corral report --markdown"]
    if best is not None:
        steps = [
            f"corral diff {best.key}",
            f"corral take {best.key} my-branch",
            f"corral logs {best.key}",
            *steps,
        ]
    return Text("next: ", "dim") + Text("  ·  ".join(steps))


def headline(state: RunState) -> Text:
    served = sum(state.task_served(task.id) for task in state.plan.tasks)
    text = Text(f"run {state.name}", "bold")
    text.append(f"  {served} of {len(state.plan.tasks)} tasks served", "not bold")
    if state.ended is None:
        text.append("  (not ended)", "yellow")
    return text


def _attempts(state: RunState) -> Table:
    table = Table(box=None, padding=(0, 1), pad_edge=False)
    for name in HEAD:
        table.add_column(name, header_style="dim", no_wrap=True, overflow="fold")
    for attempt in state.attempts.values():
        table.add_row(
            Text(str(attempt.key)),
            Text(_verdict(state, attempt), wording.colour(attempt.verdict)),
            Text(_check(attempt)),
            Text(wording.duration(attempt.seconds) if attempt.verdict else ""),
            Text(wording.size(attempt.peak_memory) if attempt.peak_memory else ""),
            Text("" if attempt.tokens is None else wording.tokens(attempt.tokens)),
            Text(wording.diff_stat(attempt) if attempt.verdict else ""),
        )
    return table


def _remarks(state: RunState) -> Iterator[Text]:
    """What the table has no room for: why, what was noticed, where files are kept."""
    for one in state.attempts.values():
        kept = (f"its files are kept in {one.kept}",) if one.kept else ()
        for words in (one.reason, *one.flags, *kept):
            if words:
                yield Text(f"  {one.key}: ", "dim") + cell(words)


def _compared(state: RunState) -> Iterator[RenderableType]:
    rows = summary.scored(state)
    yield Text("side by side", "bold")
    if summary.scripted(state):
        yield Text(wording.SCRIPTED, "yellow")
    tasks = Table(box=None, padding=(0, 1), pad_edge=False)
    for name in ("task", *state.plan.compared):
        tasks.add_column(name, header_style="dim")
    for task, verdicts in grid(state.plan.compared, rows):
        tasks.add_row(Text(task), *(Text(v, wording.colour(v)) for v in verdicts))
    yield tasks
    yield Text()
    table = Table(box=None, padding=(0, 1), pad_edge=False)
    for name in SIDES:
        table.add_column(name, header_style="dim")
    for side in side_by_side(state.plan.compared, rows):
        table.add_row(*(Text(part) for part in _side(side)))
    yield table


def _side(side: Side) -> tuple[str, ...]:
    return (
        side.profile,
        str(side.accepted),
        str(side.scored),
        "-" if side.rate is None else f"{side.rate:.0%}",
        wording.UNKNOWN if side.minutes_median is None else f"{side.minutes_median:.2f}",
        wording.tokens(side.tokens),
        str(side.infrastructure),
    )


def _verdict(state: RunState, attempt: AttemptState) -> str:
    if attempt.verdict is None:
        held = next((d for d in decide(state, 0) if d.key == attempt.key), None)
        return held.standing if held is not None and held.standing == "held" else attempt.phase
    return f"{attempt.verdict}, tried again" if attempt.again else attempt.verdict


def _check(attempt: AttemptState) -> str:
    return "" if attempt.check in {None, "none"} else str(attempt.check)


def _markdown_lines(state: RunState) -> Iterator[str]:
    yield f"## Corral run `{state.name}`"
    yield ""
    if summary.scripted(state):
        yield f"> {wording.SCRIPTED}"
        yield ""
    yield from _markdown_table(
        ("attempt", "verdict", "check", "time", "tokens", "change", "branch"),
        [
            (
                markdown(str(a.key)),
                _verdict(state, a),
                _check(a),
                wording.duration(a.seconds) if a.verdict else "",
                "" if a.tokens is None else wording.tokens(a.tokens),
                "; ".join(
                    filter(
                        None,
                        (
                            wording.diff_stat(a) if a.verdict else "",
                            markdown(a.reason),
                            *map(markdown, a.flags),
                        ),
                    )
                ),
                f"`{a.branch}`" if a.branch else "",
            )
            for a in state.attempts.values()
        ],
    )
    if state.plan.compared:
        rows = summary.scored(state)
        yield ""
        yield "### Side by side"
        yield ""
        yield from _markdown_table(
            ("task", *state.plan.compared), [(t, *v) for t, v in grid(state.plan.compared, rows)]
        )
        yield ""
        yield from _markdown_table(SIDES, [_side(side) for side in side_by_side(state.plan.compared, rows)])
    for note in (*state.weaker, *state.plan.notes):
        yield ""
        yield f"*{markdown(note)}*"


def _markdown_table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> Iterator[str]:
    yield "| " + " | ".join(head) + " |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield "| " + " | ".join(row) + " |"
