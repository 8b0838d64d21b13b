"""What all runs say of profiles and kinds of task, for a person and for programs.

What a script or a recording played is told apart from what a service answered, and never counted together.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from pydantic import JsonValue
from rich.console import Group, RenderableType
from rich.text import Text

from runner.compare.scored import Side
from runner.supervisor.past import Course, Entry, PastRun, courses, entries, entries_by_kind
from runner.tasks.plan import Profile
from runner.views import measured, wording
from runner.views.fitting import Column, Fitting
from runner.views.inert import cell, line

SHOWN = 8
"""Digits of an identity that are shown."""
FIGURES = (
    Column("runs", importance=3),
    Column("accepted"),
    Column("of"),
    Column("rate"),
    Column("cost each", importance=6),
    Column("minutes each", importance=5),
    Column("tokens each", importance=4),
    Column("not counted", importance=2),
)
WHO = (
    Column("profile"),
    Column("settings", importance=7),
    Column("model", importance=3),
    Column("cli", importance=2),
)
KIND = (Column("kind"), Column("profile"), Column("settings", importance=7))
REAL, PLAYED = "what services and commands did", "what scripts and recordings played"
NOT_REAL = "A script or a recording played the model here: its tokens and cost are no real figures."
NO_KIND = "(none)"


def terminal(real: Sequence[PastRun], played: Sequence[PastRun]) -> RenderableType:
    """The history as tables."""
    parts = [*_part(REAL, real), *([Text()] if real and played else ()), *_part(PLAYED, played)]
    if played:
        parts.append(Text(NOT_REAL, "yellow"))
    return Group(*(parts or [Text("no attempt of that kind has ended yet")]))


def _part(title: str, runs: Sequence[PastRun]) -> Iterator[RenderableType]:
    if not runs:
        return
    found = entries(runs)
    attempts = wording.many(sum(len(run.attempts) for run in runs), "attempt")
    said = f"  {wording.many(len(runs), 'run')} since {_day(runs[0].began)}, {attempts}"
    yield Text(title, "bold").append(said, "not bold")
    yield Fitting((*WHO, *FIGURES), [(*_who(one.profile), *_figures(one)) for one in found])
    if unchecked := sum(one.unchecked for one in found):
        yield Text(f"{wording.many(unchecked, 'attempt')} without a check counted as accepted", "dim")
    kinds = entries_by_kind(runs)
    if any(one.kind is not None for one in kinds):
        yield Text("\nby kind of task", "bold")
        rows = [(cell(one.kind or NO_KIND), *_who(one.profile)[:2], *_figures(one)) for one in kinds]
        yield Fitting((*KIND, *FIGURES), rows)
    yield from _courses(courses(runs))


def _courses(found: Sequence[Course]) -> Iterator[Text]:
    told = [one for one in found if len(one.points) > 1 or one.changes]
    if told:
        yield Text("\nacceptance in the course of time", "bold")
    for one in told:
        first, last = one.points[0], one.points[-1]
        drawn = measured.bars([point.side.rate for point in one.points])
        ends = f"{_share(first.side.rate)} {first.label} to {_share(last.side.rate)} {last.label}"
        yield Text(f"  {one.name}  ").append(drawn, "green").append(f"  {line(ends)}")
        for change in one.changes:
            what = "; ".join(change.what) or "how it is retried, or how settings were counted then"
            head = f"    {_day(change.at)} {change.run}: {change.before[:SHOWN]} → {change.now[:SHOWN]}  "
            yield Text(head, "dim").append_text(cell(what))


def _who(profile: Profile) -> tuple[Text, ...]:
    model = getattr(profile.settings, "model", "")
    cli = f"{profile.settings.cli} {profile.version or ''}".rstrip()
    return Text(profile.name), Text(profile.hash[:SHOWN], "dim"), cell(model), cell(cli)


def _figures(entry: Entry) -> tuple[Text, ...]:
    side = entry.side
    minutes, tokens = side.minutes_per_accepted, side.tokens_per_accepted
    each = (
        wording.usd(side.usd_per_accepted),
        wording.UNKNOWN if minutes is None else f"{minutes:.1f}",
        wording.tokens(None if tokens is None else round(tokens)),
    )
    words = (
        str(entry.runs),
        str(side.accepted),
        str(side.scored),
        _rate(side),
        *(each if side.accepted else ("-",) * len(each)),
        str(side.attempts - side.scored),
    )
    return tuple(map(Text, words))


def _rate(side: Side) -> str:
    if side.low is None or side.high is None:
        return _share(side.rate)
    return f"{_share(side.rate)} ({side.low:.0%} to {side.high:.0%})"


def _share(rate: float | None) -> str:
    return "-" if rate is None else f"{rate:.0%}"


def _day(at: float) -> str:
    return time.strftime("%Y-%m-%d", time.localtime(at))


def as_json(real: Sequence[PastRun], played: Sequence[PastRun]) -> dict[str, JsonValue]:
    """The history for programs; what is not known is None."""
    return {"kind": "history", "schema": 1, "real": _json(real), "played": _json(played)}


def _json(runs: Sequence[PastRun]) -> JsonValue:
    return {
        "runs": [run.name for run in runs],
        "profiles": [_row(one) for one in entries(runs)],
        "kinds": [{"kind": one.kind, **_row(one)} for one in entries_by_kind(runs)],
        "courses": [_course(one) for one in courses(runs)],
    }


def _course(course: Course) -> JsonValue:
    changes: list[JsonValue] = [
        {
            "run": change.run,
            "at": change.at,
            "before": change.before,
            "now": change.now,
            "what": list(change.what),
        }
        for change in course.changes
    ]
    points: list[JsonValue] = [
        {"since": point.since, "label": point.label, **_side(point.side)} for point in course.points
    ]
    return {"profile": course.name, "points": points, "changes": changes}


def _row(entry: Entry) -> dict[str, JsonValue]:
    settings = entry.profile.settings.model_dump(mode="json")
    return {
        **_side(entry.side),
        "cli": settings["cli"],
        "version": entry.profile.version,
        "model": settings.get("model"),
        "effort": settings.get("effort"),
        "runs": entry.runs,
        "unchecked": entry.unchecked,
    }


def _side(side: Side) -> dict[str, JsonValue]:
    names = (
        *("profile", "settings", "attempts", "scored", "accepted", "infrastructure", "rate", "low", "high"),
        *("usd", "usd_per_accepted", "minutes_median", "minutes_per_accepted"),
        *("tokens", "tokens_per_accepted"),
    )
    return {name: getattr(side, name) for name in names}
