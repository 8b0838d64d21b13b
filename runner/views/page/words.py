"""Words and small pieces that several parts of the page share."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import tzinfo

from runner.compare.blocks import OUTSIDE
from runner.supervisor.tried import AttemptState
from runner.tasks.when import SKIPPED
from runner.views import wording
from runner.views.inert import line
from runner.views.page import clock
from runner.views.page.markup import Child, Html, tag
from runner.views.page.material import Material, Stage

STAGES: dict[Stage, str] = {
    "waiting": "waiting for its turn",
    "preparing": "preparing its box",
    "working": "working",
    "held": "held by a limit",
    "frozen": "frozen",
    "checking": "gathering and checking",
}
MARKS = {"good": "✓", "used": "◆", "bad": "✗", "odd": "–", "ours": "!", "open": "…"}
MEANING = {
    "good": "served",
    "used": "not accepted, but used, as a person decided",
    "bad": "not accepted",
    "odd": "cut short or not wanted, not counted",
    "ours": "a fault of ours, not counted",
    "open": "not ended",
}


def grade(material: Material, one: AttemptState) -> str:
    """What of an attempt is scored: a key of `MEANING`."""
    state, name = material.state, str(one.key)
    if one.verdict is None:
        return "open"
    if state.serves(one) and name not in material.cheats:
        return "good"
    if one.key in state.used:
        return "used"
    if one.verdict == "infrastructure":
        return "ours"
    return "odd" if one.verdict in {*OUTSIDE, SKIPPED} or name in material.not_scored else "bad"


def verdict(material: Material, one: AttemptState) -> str:
    """The verdict on an attempt, and what the audit and a person made of it."""
    cheated = ", cheated" if str(one.key) in material.cheats else ""
    return f"{wording.judged(material.state, one)}{cheated}"


def mark(found: str) -> Html:
    """The sign of a grade."""
    return tag("span", MARKS[found], class_=f"mark {found}", aria_hidden="true")


def link(material: Material, attempt: str, *children: Child, **attributes: str) -> Html:
    """What leads to an attempt; plain where the page does not hold it."""
    shown = children or (line(attempt, 160),)
    if attempt not in material.names:
        return tag("span", *shown, **attributes)
    return tag("a", *shown, href=f"#{attempt}", **attributes)


def section(name: str, kicker: str, title: Child, *children: Child) -> Html:
    """A part of the page, with what it is about and what it says."""
    head = tag("header", tag("p", kicker, class_="kicker"), tag("h2", title))
    return tag("section", head, *children, id=name)


def note(*children: Child) -> Html:
    """A remark below a drawing."""
    return tag("p", *children, class_="note")


def table(head: Iterable[Child], rows: Iterable[Iterable[Child]], *, figures: int = 99, name: str) -> Html:
    """A table; from the column `figures` on it holds figures.

    It scrolls in its place where it is wider than that, and can be reached by the keyboard for it.
    """
    heads = [
        tag("th", one, scope="col", class_="figure" if n >= figures else None) for n, one in enumerate(head)
    ]
    body = [
        tag(
            "tr",
            *(
                tag("th", one, scope="row")
                if n == 0
                else tag("td", one, class_="figure" if n >= figures else None)
                for n, one in enumerate(row)
            ),
        )
        for row in rows
    ]
    whole = tag("table", tag("thead", tag("tr", heads)), tag("tbody", body))
    return tag("div", whole, class_="scroll", tabindex="0", role="region", aria_label=name)


def as_table(words: str, shown: Html) -> Html:
    """A drawing's figures, for those who read rather than look."""
    return tag("details", tag("summary", words), shown, class_="alt")


def span_of(start: float, end: float, zone: tzinfo | None) -> str:
    """From when until when, with the day where it helps."""
    first, last = clock.moment(start, zone), clock.moment(end, zone)
    days = "%a %-d %b" if first.date() != last.date() else ""
    until = last.strftime(f"{days} %H:%M".strip())
    return f"{first.strftime('%A %-d %B %Y, %H:%M')} – {until}"


def long(seconds: float) -> str:
    """A span of time as it is told of a night: the larger of its units."""
    whole = round(seconds)
    days, hours, minutes = whole // 86400, whole // 3600 % 24, whole // 60 % 60
    if days:
        return f"{days}\u202fd {hours}\u202fh"
    if hours:
        return f"{hours}\u202fh {minutes}\u202fmin"
    if minutes >= 10 or (minutes and not whole % 60):
        return f"{minutes}\u202fmin"
    return f"{minutes}\u202fmin {whole % 60}\u202fs" if minutes else f"{whole}\u202fs"


def took(seconds: float | None) -> str:
    """The same; unknown is said."""
    return wording.duration(seconds) if seconds is None or seconds < 10 else long(seconds)


def share(value: float | None) -> str:
    """A share in per cent; unknown is said."""
    return wording.UNKNOWN if value is None else f"{value:.0%}".replace("%", "\u202f%")


def points(value: float) -> str:
    """A difference of shares in points, with its sign."""
    return f"{100 * value:+.0f}".replace("-", "−")


def listed(names: Iterable[str]) -> str:
    """Names as a sentence has them."""
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last
