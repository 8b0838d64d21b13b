"""A run as CSV, a try of an attempt a row: for spreadsheets and data frames.

Spreadsheets take a cell that begins like a formula for one, and run it. Text that does is written with an
apostrophe before it, which they show as text; so is text that begins with an apostrophe, so that whoever
takes one away again has what was meant.
"""

from __future__ import annotations

import csv
import io

from pydantic import JsonValue

from runner.supervisor.state import RunState
from runner.views import summary, wording
from runner.views.inert import written_out

COLUMNS = (
    *("run", "task", "item", "kind", "profile", "n", "try", "settings", "phase", "verdict", "ended", "work"),
    *("check", "reason", "scripted", "usd", "tokens", "requests", "seconds", "held_s", "check_seconds"),
    *("cpu_seconds", "peak_memory", "files", "insertions", "deletions", "branch", "commit", "base", "repo"),
    *("kept", "chosen", "flags", "discarded"),
)
"""New ones come behind. Times are seconds, sizes bytes, money US dollars; what is not known is empty."""

FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠", "'", "\t", "\r", "\n")  # noqa: RUF001
"""What a formula can begin with (OWASP, "CSV Injection"), wide signs too; and the apostrophe itself."""


def text_csv(state: RunState) -> str:
    """The attempts of a run as CSV (RFC 4180), with a row of names first."""
    target = io.StringIO()
    table = csv.writer(target)
    table.writerow(COLUMNS)
    kinds = {task.id: task.kind for task in state.plan.tasks}
    for attempt in state.as_written:
        row = summary.attempt_row(state, attempt, waiting={})
        row |= {"run": state.name, "kind": kinds[attempt.key.task]}
        row["discarded"] = wording.discarded(attempt)
        table.writerow([cell(row[name]) for name in COLUMNS])
    return target.getvalue()


def cell(value: JsonValue) -> str:
    """A value as a cell holds it."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case list():
            return text("; ".join(map(str, value)))
        case str():
            return text(value)
        case _:
            return repr(value)


def text(words: str) -> str:
    """Text that no terminal and no spreadsheet acts on, whoever wrote it."""
    shown = written_out(words)
    return f"'{shown}" if shown.lstrip(" ").startswith(FORMULA) else shown
