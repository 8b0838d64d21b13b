"""The one way from text that a box, a repository or a model may have written to a screen or a page."""

from __future__ import annotations

import unicodedata

from rich.text import Text

_ACTIVE = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
"""Unicode categories that can steer a terminal or hide text: controls, formats, separators and the like."""


def inert(text: str, most: int = 2000) -> str:
    """The text with everything active written out as an escape, shortened to `most` characters."""
    shown = "".join(
        character if unicodedata.category(character) not in _ACTIVE else _escaped(character)
        for character in text[: most + 1]
    )
    return shown if len(shown) <= most else shown[: most - 1] + "…"


def line(text: str, most: int = 200) -> str:
    """As `inert`, on one line."""
    return inert(" ".join(text.split()), most)


def block(text: str, most: int = 200_000) -> str:
    """As `inert`, keeping line ends and tabs."""
    rows = text.expandtabs(8).replace("\r\n", "\n").split("\n")
    return inert_rows(rows, most)


def inert_rows(rows: list[str], most: int) -> str:
    """Lines, each made inert, up to `most` characters in all."""
    shown, left = [], most
    for row in rows:
        safe = inert(row, 4000)
        left -= len(safe) + 1
        if left < 0:
            shown.append("… cut here")
            break
        shown.append(safe)
    return "\n".join(shown)


def cell(text: object, style: str = "") -> Text:
    """A table cell of untrusted text: neither markup nor control characters act."""
    return Text(line(str(text)), style=style)


def markdown(text: str) -> str:
    """Untrusted text inside a Markdown table or line."""
    escaped = line(text, 500)
    for character in "\\`*_{}[]<>()#|!~":
        escaped = escaped.replace(character, "\\" + character)
    return escaped


def _escaped(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
