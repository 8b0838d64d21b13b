"""Profiles side by side: acceptance with intervals, cost against it, the grid of tasks, and pairs."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from runner.compare.scored import Comparison, Pair, Side
from runner.views import summary, wording
from runner.views.inert import line
from runner.views.page.markup import Child, Html, percent, svg, tag
from runner.views.page.material import Material
from runner.views.page.words import (
    as_table,
    listed,
    note,
    points,
    section,
    share,
    table,
    took,
)

TOP, BOTTOM = 0.06, 0.9
"""Where the plane of cost and acceptance begins and ends, as shares of its height."""


def acceptance(material: Material) -> Html | None:
    """Acceptance by profile, beside cost against acceptance."""
    compared = material.comparison
    if compared is None or not compared.profiles:
        return None
    played = summary.played_words(material.state)
    return section(
        "profiles",
        "Acceptance by setting",
        _title(compared),
        tag("p", played, class_="played") if played else None,
        tag("div", _rates(material, compared), _plane(material, compared), class_="pair"),
        _sides(compared),
    )


def _title(compared: Comparison) -> str:
    known = [side for side in compared.profiles if side.rate is not None]
    if not known:
        return "No attempt counts yet."
    if len(known) == 1:
        return f"{known[0].profile}: {known[0].accepted} of {known[0].scored} accepted."
    best = max(known, key=lambda side: side.rate or 0.0)
    others = [side for side in known if side is not best]
    rest = listed(f"{side.profile} {share(side.rate)}" for side in others[:3])
    return f"{best.profile} had {share(best.rate)} of its attempts accepted, {rest}."


def _rates(material: Material, compared: Comparison) -> Html:
    """A dot for each rate, with its interval as a line."""
    rows = [_rate(material, side) for side in compared.profiles]
    labels = [
        tag("text", f"{n}\u202f%", x=f"{n}%", y="12", class_="tick", text_anchor=_anchor(n))
        for n in (0, 25, 50, 75, 100)
    ]
    axis = tag("div", tag("span"), svg(labels, height="16"), tag("span"), class_="rate")
    has_interval = any(side.low is not None for side in compared.profiles)
    caption = "Share of scored attempts that were accepted" + (
        "; lines are 95\u202f% intervals." if has_interval else "; no intervals are known."
    )
    return tag(
        "figure",
        tag("figcaption", tag("b", "Accepted, of those scored")),
        rows,
        axis,
        note(caption),
        class_="rates",
    )


def _anchor(n: int) -> str:
    return "start" if n == 0 else "end" if n == 100 else "middle"


def _rate(material: Material, side: Side) -> Html:
    grid = [
        tag("line", x1=f"{n}%", x2=f"{n}%", y1="0", y2="100%", class_="hour") for n in (0, 25, 50, 75, 100)
    ]
    drawn: list[Html] = []
    if side.low is not None and side.high is not None:
        drawn.append(
            tag("line", x1=percent(side.low), x2=percent(side.high), y1="17", y2="17", class_="interval")
        )
    if side.rate is not None:
        drawn.append(tag("circle", cx=percent(side.rate), cy="17", r="6", class_="dot"))
    between = (
        "" if side.low is None or side.high is None else f", interval {share(side.low)} to {share(side.high)}"
    )
    words = f"{side.profile}: {share(side.rate)} accepted{between}"
    spread = "" if side.low is None or side.high is None else f"{100 * side.low:.0f}–{100 * side.high:.0f}"
    return tag(
        "div",
        tag("span", tag("b", side.profile), _played(material, side.profile), class_="who"),
        svg(grid, drawn, words=words, height="34"),
        tag(
            "span",
            tag("b", share(side.rate)),
            tag(
                "small",
                f"{spread} · {side.accepted} of {side.scored}"
                if spread
                else f"{side.accepted} of {side.scored}",
            ),
            class_="value",
        ),
        class_="rate",
    )


def _played(material: Material, profile: str) -> Html | None:
    is_played = profile in summary.scripted(material.state)
    return tag("small", "played by a script", class_="played") if is_played else None


# -- cost against acceptance


def _mean(side: Side) -> float | None:
    return None if side.usd is None or not side.scored else side.usd / side.scored


def _plane(material: Material, compared: Comparison) -> Html:
    known = [
        (side, cost)
        for side in compared.profiles
        if (cost := _mean(side)) is not None and side.rate is not None
    ]
    head = tag("figcaption", tag("b", "What an attempt costs, against how often it is accepted"))
    if not known:
        return tag("figure", head, note("What attempts cost is not known."), class_="plane")
    most = _round_up(max(cost for _, cost in known) * 1.12)
    drawing = svg(
        _plane_grid(most),
        _frontier(known, most),
        [_point(material, side, cost, most) for side, cost in known],
        words="; ".join(
            f"{side.profile}: {wording.usd(cost)} an attempt, {share(side.rate)}" for side, cost in known
        ),
        height="270",
    )
    unknown = [side.profile for side in compared.profiles if all(side is not one for one, _ in known)]
    lacking = f" Not drawn, since a cost is unknown: {listed(unknown)}." if unknown else ""
    caption = (
        f"US dollars for the mean scored attempt; the line joins those that no other beats in both.{lacking}"
    )
    return tag("figure", head, drawing, note(caption), class_="plane")


def _round_up(value: float) -> float:
    """The next figure that an axis can end at."""
    step = 0.001
    for step in (s * 10**e for e in range(-3, 4) for s in (1.0, 2.0, 2.5, 5.0)):
        if value <= step * 5:
            break
    return step * max(1, -(-value // step))


def _x(cost: float, most: float) -> float:
    return 0.09 + 0.88 * cost / most if most else 0.09


def _y(rate: float) -> float:
    return BOTTOM - (BOTTOM - TOP) * rate


def _plane_grid(most: float) -> list[Html]:
    drawn = []
    for n in (0, 25, 50, 75, 100):
        y = percent(_y(n / 100))
        drawn.append(tag("line", x1="9%", x2="97%", y1=y, y2=y, class_="hour"))
        drawn.append(tag("text", f"{n}\u202f%", x="8%", y=y, dy="4", class_="tick", text_anchor="end"))
    for n in range(5):
        cost = most * n / 4
        drawn.append(
            tag("text", _money(cost), x=percent(_x(cost, most)), y="99%", class_="tick", text_anchor="middle")
        )
    return drawn


def _money(cost: float) -> str:
    return f"${cost:.2f}" if cost < 10 else f"${cost:.0f}"


def frontier(known: Sequence[tuple[float, float]]) -> list[int]:
    """Of points (cost, rate), those that no other beats in one without being worse in the other, by cost."""
    order = sorted(range(len(known)), key=lambda n: (known[n][0], -known[n][1]))
    kept: list[int] = []
    for n in order:
        if not kept or known[n][1] > known[kept[-1]][1]:
            kept.append(n)
    return kept


def _frontier(known: Sequence[tuple[Side, float]], most: float) -> list[Html]:
    at = [(cost, side.rate or 0.0) for side, cost in known]
    kept = frontier(at)
    return [
        tag(
            "line",
            x1=percent(_x(at[a][0], most)),
            y1=percent(_y(at[a][1])),
            x2=percent(_x(at[b][0], most)),
            y2=percent(_y(at[b][1])),
            class_="frontier",
        )
        for a, b in pairwise(kept)
    ]


def _point(material: Material, side: Side, cost: float, most: float) -> Html:
    x, rate = _x(cost, most), side.rate or 0.0
    spread = None
    if side.low is not None and side.high is not None:
        spread = tag(
            "line",
            x1=percent(x),
            x2=percent(x),
            y1=percent(_y(side.low)),
            y2=percent(_y(side.high)),
            class_="interval",
        )
    right = x > 0.6
    name = side.profile + (" *" if side.profile in summary.scripted(material.state) else "")
    label = tag(
        "text",
        line(name, 28),
        x=percent(x),
        y=percent(_y(rate)),
        dx="-10" if right else "10",
        dy="-6",
        text_anchor="end" if right else "start",
        class_="label",
    )
    return tag(
        "g",
        tag("title", f"{side.profile}: {wording.usd(cost)}, {share(rate)}"),
        spread,
        tag("circle", cx=percent(x), cy=percent(_y(rate)), r="6", class_="dot"),
        label,
    )


def _sides(compared: Comparison) -> Html:
    ks = sorted({k for side in compared.profiles for k, _ in side.pass_at})
    missing = any(side.never_began for side in compared.profiles)
    head = (
        *("setting", "accepted", "of scored", "not scored", *(("never began",) if missing else ())),
        *("median time", "cost", "cost per accepted"),
        *("tokens per accepted", *(f"pass@{k}" for k in ks), "settings"),
    )
    rows: list[tuple[Child, ...]] = [
        (
            side.profile,
            side.accepted,
            side.scored,
            side.attempts - side.scored,
            *((side.never_began,) if missing else ()),
            _minutes(side.minutes_median),
            wording.usd(side.usd),
            wording.usd(side.usd_per_accepted),
            wording.UNKNOWN
            if side.tokens_per_accepted is None
            else wording.tokens(round(side.tokens_per_accepted)),
            *(share(dict(side.pass_at).get(k)) for k in ks),
            side.settings[:10],
        )
        for side in compared.profiles
    ]
    return table(head, rows, figures=1, name="Settings side by side")


def _minutes(minutes: float | None) -> str:
    return took(None if minutes is None else minutes * 60)


# -- pairs


def pairs(material: Material) -> Html | None:
    """Every two settings, with what may be said of them."""
    compared = material.comparison
    if compared is None or not compared.pairs:
        return None
    decided = [pair for pair in compared.pairs if pair.decided]
    title = (
        f"{len(decided)} of {wording.many(len(compared.pairs), 'pair')} can be told apart."
        if decided
        else "No two settings can be told apart."
    )
    labels = [
        tag(
            "text",
            f"{n:+d}".replace("-", "−") if n else "0",
            x=percent(_across(n / 100)),
            y="12",
            class_="tick",
            text_anchor="middle",
        )
        for n in (-75, -50, -25, 0, 25, 50, 75)
    ]
    axis = tag("div", tag("span"), svg(labels, height="16"), tag("span"), class_="duel")
    head = ("pair", "tasks", "difference", "interval", "p", "effect", "verdict")
    rows = [
        (
            f"{p.a} – {p.b}",
            p.tasks,
            wording.UNKNOWN if p.difference is None else points(p.difference),
            _interval(p),
            wording.UNKNOWN if p.p is None else f"{p.p:.3f}",
            wording.UNKNOWN if p.effect is None else f"{p.effect:.2f}",
            line(p.words, 300),
        )
        for p in compared.pairs
    ]
    notes: list[Child] = [note(line(words, 400)) for words in compared.notes]
    caption = note(
        "Difference of acceptance in percentage points over the tasks that both did: right of the middle the "
        "first one is ahead. Lines are 95\u202f% intervals; p is corrected for the number of pairs."
    )
    drawn = tag("figure", [_duel(pair) for pair in compared.pairs], axis, caption, class_="duels")
    alternative = as_table("The pairs as a table", table(head, rows, figures=1, name="Pairs"))
    return section("pairs", "Setting against setting", title, drawn, notes, alternative)


def _across(difference: float) -> float:
    """Where a difference, from -1 to 1, stands between the edges: with room for a dot at either."""
    return 0.5 + 0.48 * difference


def _interval(pair: Pair) -> str:
    if pair.low is None or pair.high is None:
        return wording.UNKNOWN
    return f"{points(pair.low)} to {points(pair.high)}"


def _duel(pair: Pair) -> Html:
    kind = "decided" if pair.decided else "open"
    grid_lines = [
        tag("line", x1=x, x2=x, y1="0", y2="100%", class_="hour" if n else "zero")
        for n in (-75, -50, -25, 0, 25, 50, 75)
        for x in (percent(_across(n / 100)),)
    ]
    drawn: list[Html] = []
    if pair.low is not None and pair.high is not None:
        x1, x2 = percent(_across(pair.low)), percent(_across(pair.high))
        drawn.append(tag("line", x1=x1, x2=x2, y1="17", y2="17", class_=f"interval {kind}"))
    if pair.difference is not None:
        drawn.append(
            tag("circle", cx=percent(_across(pair.difference)), cy="17", r="6", class_=f"dot {kind}")
        )
    told = "not known" if pair.difference is None else f"{points(pair.difference)} points"
    return tag(
        "div",
        tag("span", tag("b", pair.a), " – ", tag("b", pair.b), class_="who"),
        svg(grid_lines, drawn, words=f"{pair.a} less {pair.b}: {told}, {_interval(pair)}", height="34"),
        tag("span", tag("b", told), tag("small", line(pair.words, 300)), class_="value"),
        class_="duel",
    )
