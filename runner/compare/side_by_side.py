"""Profiles set side by side over the same tasks: counts and medians, no ranking.

Only first tries count, and tries that ended as infrastructure are counted apart: they say nothing about
the profile.
"""

from __future__ import annotations

from collections.abc import Iterable
from statistics import median

from runner.compare.scored import Scored, Side


def side_by_side(profiles: Iterable[str], attempts: Iterable[Scored]) -> list[Side]:
    """One side per profile, in the order given."""
    rows = list(attempts)
    return [_side(profile, [row for row in rows if row.profile == profile]) for profile in profiles]


def grid(profiles: Iterable[str], attempts: Iterable[Scored]) -> list[tuple[str, tuple[str, ...]]]:
    """Per task, each profile's verdicts in the order given; `-` where there is none."""
    names, rows = list(profiles), list(attempts)
    tasks = list(dict.fromkeys(row.task for row in rows if row.profile in names))
    return [(task, tuple(_verdicts(rows, task, profile) for profile in names)) for task in tasks]


def _verdicts(rows: list[Scored], task: str, profile: str) -> str:
    found = [row.verdict for row in rows if row.task == task and row.profile == profile]
    return ", ".join(found) or "-"


def _side(profile: str, rows: list[Scored]) -> Side:
    scored = [row for row in rows if row.verdict != "infrastructure"]
    times = [row.seconds for row in scored if row.seconds is not None]
    tokens = [row.tokens for row in scored if row.tokens is not None]
    usd = [row.usd for row in scored if row.usd is not None]
    return Side(
        profile=profile,
        attempts=len(rows),
        scored=len(scored),
        accepted=sum(row.accepted for row in scored),
        infrastructure=len(rows) - len(scored),
        rate=sum(row.accepted for row in scored) / len(scored) if scored else None,
        minutes_median=median(times) / 60 if times else None,
        tokens=sum(tokens) if tokens else None,
        usd=sum(usd) if usd and len(usd) == len(scored) else None,
    )
