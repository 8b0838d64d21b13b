"""Tables that stay true on a narrow screen: whole columns are left out, and only prose is shortened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

GAP = 2
SHORTEST = 8
"""Columns that prose must keep to be worth showing."""


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        name: Its heading.
        importance: Where there is no room, the columns of the least importance are left out.
        prose: Whether its text may be shortened; it gets the room that the others leave.
    """

    name: str
    importance: int = 9
    prose: bool = False


class Fitting:
    """A table that fits the width it is drawn in without cutting a name or a figure."""

    def __init__(self, columns: Sequence[Column], rows: Sequence[Sequence[Text]]) -> None:
        self._columns = columns
        self._rows = rows

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw it."""
        widths = [
            max((column_text.cell_len for column_text in (Text(column.name), *cells)), default=0)
            for column, cells in zip(self._columns, self._cells(), strict=True)
        ]
        shown = chosen(self._columns, widths, options.max_width)
        room = options.max_width - sum(widths[n] + GAP for n in shown if not self._columns[n].prose)
        table = Table(box=None, padding=(0, GAP, 0, 0), pad_edge=False)
        for n in shown:
            column = self._columns[n]
            width = min(widths[n], max(room, SHORTEST)) if column.prose else widths[n]
            table.add_column(column.name, header_style="dim", no_wrap=True, overflow="ellipsis", width=width)
        for row in self._rows:
            table.add_row(*(row[n] for n in shown))
        yield table

    def _cells(self) -> list[tuple[Text, ...]]:
        if not self._rows:
            return [() for _ in self._columns]
        return list(zip(*self._rows, strict=True))


def chosen(columns: Sequence[Column], widths: Sequence[int], available: int) -> list[int]:
    """The columns that are shown: all, or without the least important until the rest has room."""
    shown = list(range(len(columns)))
    while len(shown) > 1:
        needed = sum((SHORTEST if columns[n].prose else widths[n]) + GAP for n in shown) - GAP
        if needed <= available:
            break
        shown.remove(min(shown, key=lambda n: (columns[n].importance, -n)))
    return shown
