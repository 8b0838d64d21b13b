"""The one way from text that a box, a repository or a model may have written to a screen or a page.

Views make the text of each place inert as that place needs it: on one line, as a block, as Markdown. What
is printed goes through an `InertConsole` besides, so that a place that was forgotten can't be used either.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

_ACTIVE = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
"""Unicode categories that can steer a terminal or hide text: controls, formats, separators and the like."""

_INVISIBLE = {
    *(0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2800, 0x3164, 0xFFA0),
    *range(0x180B, 0x1810),
    *range(0xFE00, 0xFE10),
    *range(0xE0100, 0xE01F0),
}
"""Letters and marks that show nothing (`Default_Ignorable_Code_Point`, and Braille's blank), and so can hide
text or make two names look the same."""


def inert(text: str, most: int = 2000) -> str:
    """The text with everything active written out as an escape, shortened to `most` characters."""
    shown = written_out(text[: most + 1])
    return shown if len(shown) <= most else shown[: most - 1] + "…"


def written_out(text: str, but: str = "") -> str:
    """All of the text, every active character as an escape, except those in `but`."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        character if character in but or not _is_active(character) else _escaped(character)
        for character in text
    )


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
    """Untrusted text inside a Markdown table or line: as code, in which nothing links, mentions or acts.

    No backticks in it can end the code: it stands between more of them than it has in a row. What would end
    the cell of a table is written out.
    """
    shown = line(text, 500).replace("|", "\\x7c")
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", shown)), default=0))
    space = " " if "`" in (shown[:1], shown[-1:]) else ""  # is no part of it
    return f"{fence}{space}{shown}{space}{fence}" if shown else ""


class InertConsole(Console):
    """A console on which no text acts: only its own colours and movements reach the terminal."""

    def __init__(self, **options: Any) -> None:
        super().__init__(highlight=False, markup=False, emoji=False, **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        """Draw, with the text of every piece made inert; line ends and tabs are layout."""
        for piece in super().render(renderable, options):
            yield piece if piece.control else piece._replace(text=written_out(piece.text, "\n\t"))


def _is_active(character: str) -> bool:
    return unicodedata.category(character) in _ACTIVE or ord(character) in _INVISIBLE


def _escaped(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
