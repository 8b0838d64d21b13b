"""Profiles set side by side over the same tasks: what each attempt came to."""

from __future__ import annotations

from collections.abc import Iterable

from runner.compare.scored import Scored


def grid(profiles: Iterable[str], attempts: Iterable[Scored]) -> list[tuple[str, tuple[str, ...]]]:
    """Per task, each profile's verdicts in the order given; `-` where there is none."""
    names, rows = list(profiles), list(attempts)
    tasks = list(dict.fromkeys(row.task for row in rows if row.profile in names))
    return [(task, tuple(_verdicts(rows, task, profile) for profile in names)) for task in tasks]


def _verdicts(rows: list[Scored], task: str, profile: str) -> str:
    found = [row.verdict for row in rows if row.task == task and row.profile == profile]
    return ", ".join(found) or "-"
