"""Markup that nothing hostile can act in: elements made of values, never of strings put together.

Text becomes markup in one place, here. Whatever is not `Html` already is text that a box, a repository or a
model may have written: its active characters are written out (`views.inert`), and it is escaped. Attributes
are always quoted, and those by which a page could act, or ask somebody for something, are refused.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from dataclasses import dataclass

from runner.views.inert import written_out


@dataclass(frozen=True, slots=True)
class Html:
    """A piece of markup that is safe to stand in a page."""

    text: str

    def __add__(self, other: Html) -> Html:
        return Html(self.text + other.text)

    def __bool__(self) -> bool:
        return bool(self.text)


Value = str | int | float | bool | None
Child = Html | str | int | None | Iterable["Child"]

NOTHING = Html("")
_VOID = frozenset({"meta", "br", "hr", "col", "wbr"})
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]*")
_ACTS = re.compile(r"on.*|style|src.*|action|formaction|data|ping|background|poster|cite|manifest|http-equiv")
"""Attributes by which a page acts, asks for something, or is styled past its one style sheet."""


def escaped(text: str) -> str:
    """Text as it stands in an element or in a quoted attribute; line ends and tabs stay."""
    return html.escape(written_out(text, "\n\t"))


def tag(name: str, *children: Child, **attributes: Value) -> Html:
    """One element.

    Args:
        name: Its name, which is never taken from data.
        children: What is in it.
        attributes: Their names with `_` for `-`, and behind names that Python reserves; None and False leave
            one out, True gives it no value.

    Raises:
        ValueError: An attribute by which a page could act, or a link that leads out of it.
    """
    head = f"<{name}{''.join(_attribute(key, value) for key, value in attributes.items())}>"
    return Html(head if name in _VOID else f"{head}{joined(*children).text}</{name}>")


def joined(*children: Child) -> Html:
    """Pieces one after the other."""
    return Html("".join(_piece(child) for child in children))


def _piece(child: Child) -> str:
    match child:
        case Html(text=text):
            return text
        case None:
            return ""
        case str():
            return escaped(child)
        case int():
            return str(child)
        case _:
            return "".join(_piece(one) for one in child)


def _attribute(key: str, value: Value) -> str:
    if value is None or value is False:
        return ""
    name = key.rstrip("_").replace("_", "-")
    if _NAME.fullmatch(name) is None or _ACTS.fullmatch(name.lower()) is not None:
        raise ValueError(f"the page has no attribute {name!r}")
    if name == "href" and not str(value).startswith("#"):
        raise ValueError(f"a link leads out of the page: {value!r}")
    if value is True:
        return f" {name}"
    return f' {name}="{number(value) if isinstance(value, int | float) else escaped(value)}"'


def number(value: float) -> str:
    """A figure of a drawing, as short as a hundredth allows."""
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def percent(share: float) -> str:
    """A share of a width, from 0 to 1."""
    return f"{number(100.0 * share)}%"


def svg(*children: Child, words: str = "", **attributes: Value) -> Html:
    """A drawing that is as wide as its place: lengths across it are shares, so that its text keeps its size.

    `words` say what it shows for those who can't see it; one without them is passed over by their readers.
    """
    role: dict[str, Value] = {"role": "img", "aria_label": words} if words else {"aria_hidden": "true"}
    return tag("svg", *children, **{"width": "100%", **role, **attributes})
