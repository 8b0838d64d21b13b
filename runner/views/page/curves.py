"""Curves over time: what an attempt's boxes used, and what a night had cost until when."""

from __future__ import annotations

from collections.abc import Sequence

from runner.tasks.plan import Limits
from runner.tasks.units import format_duration, format_size
from runner.views import summary, wording
from runner.views.inert import line
from runner.views.page import clock
from runner.views.page.clock import Axis
from runner.views.page.markup import Html, number, percent, svg, tag
from runner.views.page.material import Material, Shown
from runner.views.page.words import note, section

POINTS = 400
"""Moments in which spending is drawn at most."""


# -- of one attempt


def resources(one: Shown, limits: Limits) -> Html | None:
    """CPU and memory over an attempt's life; None where nobody measured."""
    gone = one.course
    if gone is None or not gone.step:
        return None
    length = gone.step * len(gone.cores)
    drawn = [
        curve
        for curve in (
            _curve("CPU", gone.cores, limits.cpus, _cores(gone.cores, limits.cpus), length),
            _curve("memory", gone.memory, limits.memory, _memory(gone.memory, limits.memory), length),
        )
        if curve is not None
    ]
    return tag("div", drawn, class_="curves") if drawn else None


def _cores(values: Sequence[float | None], limit: float) -> str:
    known = [value for value in values if value is not None]
    return f"at most {max(known):.1f} of {limit:g} cores" if known else ""


def _memory(values: Sequence[int | None], limit: int) -> str:
    known = [value for value in values if value is not None]
    return f"at most {format_size(max(known))} of {format_size(limit)}" if known else ""


def _curve(name: str, values: Sequence[float | None], limit: float, words: str, length: float) -> Html | None:
    if not words:
        return None
    top = max(limit, *(value for value in values if value is not None)) or 1.0
    inner = tag(
        "svg",
        tag("path", d=area(values, top), class_="area"),
        tag("path", d=stroke(values, top), class_="curve"),
        viewBox=f"0 0 {len(values)} 100",
        preserveAspectRatio="none",
        width="100%",
        height="100%",
    )
    limit_at = percent(1 - limit / top) if top > limit else "0.5"
    drawing = svg(
        inner,
        tag("line", x1="0", x2="100%", y1=limit_at, y2=limit_at, class_="limit"),
        words=f"{name} over {format_duration(round(length))}: {words}",
        height="44",
    )
    return tag("figure", tag("figcaption", tag("b", name), f" {words}"), drawing, class_="curve")


def _runs(values: Sequence[float | None]) -> list[list[tuple[int, float]]]:
    """Stretches in which every value is known."""
    found: list[list[tuple[int, float]]] = [[]]
    for n, value in enumerate(values):
        if value is None:
            found.append([])
        else:
            found[-1].append((n, value))
    return [run for run in found if run]


def stroke(values: Sequence[float | None], top: float) -> str:
    """The line over values; it is broken where one is not known."""
    return "".join(
        "M" + "L".join(f"{number(n + 0.5)} {round(100 - 100 * value / top)}" for n, value in run)
        for run in _runs(values)
        if len(run) > 1
    )


def area(values: Sequence[float | None], top: float) -> str:
    """The area below that line."""
    parts = []
    for run in _runs(values):
        points = "L".join(f"{number(n + 0.5)} {round(100 - 100 * value / top)}" for n, value in run)
        parts.append(f"M{number(run[0][0] + 0.5)} 100L{points}L{number(run[-1][0] + 0.5)} 100Z")
    return "".join(parts)


# -- of the night


def spending(material: Material) -> Html | None:
    """What was spent through the night, with the stretches in which a provider's window was closed."""
    if not material.spending and not material.shut:
        return None
    axis = Axis(material.start, material.end, material.zone)
    played = summary.played_words(material.state)
    last = material.spending[-1] if material.spending else None
    in_money = last is not None and last.usd is not None and last.usd > 0
    title = "Windows of providers" if last is None else _spent(material, in_money)
    return section(
        "spending",
        "Quota and spend",
        title,
        tag("p", played, class_="played") if played else None,
        tag(
            "figure",
            tag(
                "div",
                _spend_row(material, axis, in_money=in_money) if last is not None else None,
                _windows(material, axis),
                tag("div", tag("span"), svg(axis.labels(), height="18"), class_="row"),
                class_="rows",
            ),
            class_="night",
        ),
        _caption(material),
    )


def _spent(material: Material, in_money: bool) -> str:
    last = material.spending[-1]
    tokens = f"{wording.tokens(last.tokens)} tokens"
    return f"{wording.usd(last.usd)} and {tokens} went out." if in_money else f"{tokens} went through."


def _spend_row(material: Material, axis: Axis, *, in_money: bool) -> Html:
    told = material.spending[:: max(1, len(material.spending) // POINTS)]
    told = (*told, material.spending[-1])
    values = [(axis.share(one.at), (one.usd or 0.0) if in_money else float(one.tokens)) for one in told]
    cap = material.state.plan.budget.run
    limit = cap.usd if in_money else cap.tokens
    peak = values[-1][1] or 1.0
    top = max(peak, limit if limit is not None and limit < 4 * peak else 0.0) * 1.02
    path = _stairs(values, top)
    inner = tag(
        "svg",
        tag("path", d=f"{path}L1000 {_height(values[-1][1], top)}L1000 100L0 100Z", class_="area"),
        tag("path", d=f"{path}L1000 {_height(values[-1][1], top)}", class_="curve"),
        viewBox="0 0 1000 100",
        preserveAspectRatio="none",
        width="100%",
        height="100%",
    )
    drawn = [axis.lines(), *_bands(material, axis), inner]
    words = _amount(values[-1][1], in_money)
    if limit is not None and limit <= top:
        y = percent(1 - limit / top)
        drawn.append(tag("line", x1="0", x2="100%", y1=y, y2=y, class_="limit"))
        words += f" of {_amount(limit, in_money)}"
    label = tag(
        "span",
        tag("b", words),
        tag("small", "of the run’s budget" if " of " in words else "spent so far"),
        class_="who",
    )
    return tag("div", label, svg(drawn, words=f"spent over time: {words}", height="130"), class_="row tall")


def _amount(value: float, in_money: bool) -> str:
    return wording.usd(float(value)) if in_money else f"{wording.tokens(round(value))} tokens"


def _stairs(values: Sequence[tuple[float, float]], top: float) -> str:
    path, before = "M0 100", 100
    for at, value in values:
        height = _height(value, top)
        if height != before:
            path += f"L{number(1000 * at)} {before}L{number(1000 * at)} {height}"
            before = height
    return path


def _height(value: float, top: float) -> int:
    return round(100 - 100 * value / top)


def _bands(material: Material, axis: Axis) -> list[Html]:
    return [
        tag(
            "rect",
            x=percent(axis.share(one.since)),
            y="0",
            height="100%",
            class_="shut",
            width=percent(axis.share(one.until) - axis.share(one.since)),
        )
        for one in material.shut
    ]


def _windows(material: Material, axis: Axis) -> list[Html]:
    """A row for each window that was closed for a profile."""
    rows: dict[tuple[str, str], list[Html]] = {}
    for one in material.shut:
        left = axis.share(one.since)
        words = f"{one.profile}: {line(one.window, 120)}, " + "–".join(
            clock.told(at, material.zone) for at in (one.since, one.until)
        )
        bar = tag(
            "rect",
            tag("title", words),
            x=percent(left),
            width=percent(axis.share(one.until) - left),
            y="4",
            height="10",
            class_="held",
        )
        rows.setdefault((one.profile, one.window), []).append(bar)
    return [
        tag(
            "div",
            tag("span", tag("b", profile), tag("small", line(window, 60)), class_="who"),
            svg(axis.lines(), bars, words=f"when {line(window, 80)} was closed for {profile}", height="18"),
            class_="row",
        )
        for (profile, window), bars in rows.items()
    ]


def _caption(material: Material) -> Html | None:
    parts = (
        ["Shaded: a provider’s window was closed, and nothing new of its profiles began."]
        if material.shut
        else []
    )
    if any(one.usd is None for one in material.spending):
        parts.append("For a part of the requests no price is known.")
    return note(" ".join(parts)) if parts else None
