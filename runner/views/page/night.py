"""The night as a timeline: every attempt as a bar, coloured by what its time went into."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import ceil

from runner.views import wording
from runner.views.inert import line
from runner.views.page import clock
from runner.views.page.clock import Axis
from runner.views.page.markup import Child, Html, number, percent, svg, tag
from runner.views.page.material import Material, Shown, Span
from runner.views.page.words import (
    MARKS,
    MEANING,
    STAGES,
    as_table,
    grade,
    link,
    long,
    mark,
    note,
    section,
    table,
    verdict,
)

NAMED_ROWS = 48
"""Attempts that have a row each; more are packed into as few rows as they need."""
BINS = 240
"""Steps in which the number of attempts at each stage is drawn."""
LISTED = 12
"""Events of the run that are listed at once."""
HIGH = 20
"""Pixels of a row of packed bars."""
NARROW = 0.02
"""The share of a night below which a bar has no room for a name."""
UNTOLD = 60.0
"""Seconds in which a gateway held a box that lived: less is not worth a remark."""

_DRAWN = ("working", "held", "frozen", "checking", "preparing")
"""Stages from the bottom up in which an attempt takes a place."""


def night(material: Material) -> Html:
    """The section."""
    axis = Axis(material.start, material.end, material.zone)
    begun = [one for one in material.attempts if any(span.stage != "waiting" for span in one.spans)]
    if not begun:
        return section("night", "The night", "Nothing was started.")
    rows_named = len(begun) <= NAMED_ROWS
    rows = _rows(material, axis, begun) if rows_named else _lanes(material, axis, begun)
    axis_row = tag("div", tag("span"), svg(axis.labels(), height="18"), class_="row")
    figure = tag(
        "figure",
        _legend(begun),
        tag("div", _crowd(material, axis), axis_row, rows, class_="rows" if rows_named else "rows packed"),
        note("The stroke at a bar’s end is green where it served, red where it was not accepted.")
        if not rows_named
        else None,
        class_="night",
    )
    return section(
        "night", "The night", _title(begun), figure, _held(begun), _events(material), _table(material)
    )


def _title(begun: Sequence[Shown]) -> str:
    spent = _spent(begun)
    held = f", {long(spent['held'])} held by limits" if spent["held"] >= UNTOLD else ""
    return f"{long(spent['working'])} of work by {wording.many(len(begun), 'agent')}{held}."


def _spent(begun: Sequence[Shown]) -> dict[str, float]:
    """Seconds at each stage, of all together."""
    return {stage: sum(_at_stage(one, stage) for one in begun) for stage in STAGES}


def _at_stage(one: Shown, stage: str) -> float:
    """Seconds: by the clock that its limits go by, as far as that was told; else as they looked."""
    told = {"working": one.state.seconds, "held": one.state.held_s}.get(stage)
    return sum(span.seconds for span in one.spans if span.stage == stage) if told is None else told


def _legend(begun: Sequence[Shown]) -> Html:
    spent = _spent(begun)
    shown = [stage for stage in STAGES if spent[stage] > 0]
    return tag(
        "ul",
        [
            tag("li", tag("span", class_=f"swatch {stage}"), STAGES[stage], " ", tag("b", long(spent[stage])))
            for stage in shown
        ],
        class_="legend",
    )


# -- how many were at what


def _crowd(material: Material, axis: Axis) -> Html:
    """How many attempts were at each stage over time, as layers."""
    spans = [span for one in material.attempts for span in one.spans]
    counts = {stage: _counted(axis, [s for s in spans if s.stage == stage]) for stage in _DRAWN}
    most = max(map(sum, zip(*counts.values(), strict=True)), default=0) or 1
    layers, below = [], [0] * BINS
    for stage in _DRAWN:
        above = [low + count for low, count in zip(below, counts[stage], strict=True)]
        if above != below:
            layers.append(tag("path", d=_layer(below, above, most), class_=stage))
        below = above
    words = f"{material.at_once} at once at most"
    drawing = svg(
        axis.lines(),
        tag(
            "svg",
            layers,
            viewBox=f"0 0 {BINS} 100",
            preserveAspectRatio="none",
            width="100%",
            height="100%",
        ),
        words=f"how many attempts were at each stage over time, {words}; see the table below",
        height="72",
        class_="crowd",
    )
    label = tag("span", words, class_="who")
    return tag("div", label, drawing, class_="row tall")


def _counted(axis: Axis, spans: Sequence[Span]) -> list[int]:
    """How many of these hold in the middle of each step."""
    change = [0] * (BINS + 1)
    for span in spans:
        change[ceil(axis.share(span.start) * BINS - 0.5)] += 1
        change[ceil(axis.share(span.end) * BINS - 0.5)] -= 1
    counts, now = [], 0
    for step in change[:BINS]:
        now += step
        counts.append(now)
    return counts


def _layer(below: Sequence[int], above: Sequence[int], most: int) -> str:
    """The area between two stairs."""
    up = "".join(_stairs(above, most, range(BINS)))
    down = "".join(_stairs(below, most, range(BINS - 1, -1, -1)))
    return f"M{up[1:]}{down}Z"


def _stairs(values: Sequence[int], most: int, order: range) -> Iterator[str]:
    last: str | None = None
    for n in order:
        height = number(100 - 100 * values[n] / most)
        left, right = (n, n + 1) if order.step > 0 else (n + 1, n)
        if height != last:
            yield f"L{left} {height}"
        elif n not in {order[0], order[-1]} and values[n + order.step] == values[n]:
            continue
        yield f"L{right} {height}"
        last = height


# -- bars


def _rows(material: Material, axis: Axis, begun: Sequence[Shown]) -> Html:
    """A row for each attempt, in the order in which they began."""
    order = sorted(
        begun, key=lambda one: (next(s.start for s in one.spans if s.stage != "waiting"), one.name)
    )
    return tag("div", [_row(material, axis, one) for one in order])


def _row(material: Material, axis: Axis, one: Shown) -> Html:
    found = grade(material, one.state)
    bars = svg(axis.lines(), _ticks(material, axis), _bars(axis, one, 4, 10), height="18")
    words = tag("span", f": {_told(material, one)}", class_="vh")
    return link(
        material, one.name, tag("span", mark(found), " ", one.name, words, class_="who"), bars, class_="row"
    )


def _told(material: Material, one: Shown) -> str:
    told = verdict(material, one.state) if one.state.verdict else MEANING["open"]
    spent = {stage: sum(s.seconds for s in one.spans if s.stage == stage) for stage in STAGES}
    parts = [f"{STAGES[stage]} {long(seconds)}" for stage, seconds in spent.items() if seconds >= 1]
    return f"{told}; {', '.join(parts)}"


def _bars(axis: Axis, one: Shown, top: float, height: float) -> Html:
    return Html("".join(_bar(axis, span, top, height).text for span in one.spans))


def _bar(axis: Axis, span: Span, top: float, height: float) -> Html:
    thin = span.stage == "waiting"
    left = axis.share(span.start)
    why = f": {line(span.why, 120)}" if span.why else ""
    title = tag("title", f"{STAGES[span.stage]} {long(span.seconds)}{why}")
    return tag(
        "rect",
        title,
        x=percent(left),
        width=percent(max(0.0008, axis.share(span.end) - left)),
        y=top + height / 2 - 0.75 if thin else top,
        height=1.5 if thin else height,
        class_=span.stage,
    )


def _ticks(material: Material, axis: Axis) -> Html:
    """What happened to the run, as lines across the rows."""
    found = {percent(axis.share(one.at)) for one in material.moments[:60]}
    return Html(
        "".join(tag("line", x1=x, x2=x, y1="0", y2="100%", class_="event").text for x in sorted(found))
    )


def _lanes(material: Material, axis: Axis, begun: Sequence[Shown]) -> Html:
    """Many attempts, packed: each into the first row that is free when it begins."""
    lanes: list[tuple[float, list[Shown]]] = []
    for one in sorted(begun, key=lambda one: _busy(one)[0]):
        start, end = _busy(one)
        n = next((n for n, (free, _) in enumerate(lanes) if free <= start), len(lanes))
        if n == len(lanes):
            lanes.append((end, []))
        lanes[n][1].append(one)
        lanes[n] = (end, lanes[n][1])
    return tag("div", [_lane(material, axis, n, of_it) for n, (_, of_it) in enumerate(lanes)])


def _busy(one: Shown) -> tuple[float, float]:
    """From when until when it took a place."""
    spans = [span for span in one.spans if span.stage != "waiting"]
    return spans[0].start, spans[-1].end


def _lane(material: Material, axis: Axis, n: int, of_it: Sequence[Shown]) -> Html:
    bars = [_packed(material, axis, one) for one in of_it]
    label = tag("span", f"place {n + 1}", class_="who")
    words = f"place {n + 1}"
    drawing = tag("svg", axis.lines(), bars, width="100%", height=HIGH, role="group", aria_label=words)
    return tag("div", label, drawing, class_="row")


def _packed(material: Material, axis: Axis, one: Shown) -> Html:
    """A bar that says whose it is, as far as it is long enough."""
    busy = _without_waiting(one)
    start, _ = _busy(one)
    name = tag("text", f"{one.key.task} · {one.key.profile}", x="5", y="13", class_="inside")
    first = next((span for span in busy.spans if span.stage == "working"), busy.spans[0])
    left, width = axis.share(start), axis.share(first.end) - axis.share(start)
    clip = tag("svg", name, x=percent(left), width=percent(width), height=HIGH) if width > NARROW else None
    drawn = (_bars(axis, busy, 1, HIGH - 3), clip, _end(axis, material, one))
    if one.name not in material.names:
        return tag("g", drawn)
    return link(material, one.name, drawn, aria_label=f"{one.name}: {_told(material, one)}")


def _without_waiting(one: Shown) -> Shown:
    return Shown(one.state, tuple(span for span in one.spans if span.stage != "waiting"))


def _end(axis: Axis, material: Material, one: Shown) -> Html:
    """A stroke at the end of a bar, by what became of it; the title says which it is."""
    at = percent(max(0.0, axis.share(_busy(one)[1]) - 0.001))
    title = tag("title", f"{one.name}: {_told(material, one)}")
    return tag(
        "rect",
        title,
        x=at,
        width="3",
        y="0",
        height=HIGH - 1,
        class_=f"end {grade(material, one.state)}",
    )


# -- in words


def _held(begun: Sequence[Shown]) -> Html | None:
    """What bars can't show: in which of a box's minutes the gateway held its requests, nobody wrote down."""
    known = sum(one.state.held_s or 0.0 for one in begun)
    drawn = sum(span.seconds for one in begun for span in one.spans if span.stage in {"held", "frozen"})
    rest = known - drawn
    if rest < UNTOLD:
        return None
    return note(
        f"Bars don’t show when the gateway held requests of a box that lived: {long(rest)} in all, "
        "which are no working time."
    )


def _events(material: Material) -> Html | None:
    if not material.moments:
        return None
    rows = [
        tag("li", tag("time", clock.told(one.at, material.zone)), " ", line(one.words, 200))
        for one in material.moments
    ]
    first = tag("ol", rows[:LISTED], class_="moments wide")
    if len(rows) <= LISTED:
        return first
    more = tag(
        "details", tag("summary", f"{len(rows) - LISTED} more"), tag("ol", rows[LISTED:], class_="moments")
    )
    return first + more


def _table(material: Material) -> Html:
    head = ("attempt", "verdict", "began", "ended", *(words for words in STAGES.values()))
    rows: list[tuple[Child, ...]] = [
        (
            link(material, one.name),
            f"{MARKS[grade(material, one.state)]} {verdict(material, one.state)}",
            _time(material, one, 0),
            _time(material, one, -1),
            *(_stage_time(one, stage) for stage in STAGES),
        )
        for one in material.attempts
    ]
    words = f"The timeline as a table: {wording.many(len(rows), 'attempt')}"
    return as_table(words, table(head, rows, figures=2, name="The timeline as a table"))


def _time(material: Material, one: Shown, n: int) -> str:
    spans = [span for span in one.spans if span.stage != "waiting"]
    if not spans:
        return "–"
    return clock.told(spans[n].end if n else spans[n].start, material.zone)


def _stage_time(one: Shown, stage: str) -> str:
    spent = sum(span.seconds for span in one.spans if span.stage == stage)
    return long(spent) if spent >= 0.5 else "–"
