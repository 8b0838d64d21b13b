"""Items of `for_each`: what may be one, and where it goes.

An item is data. It becomes no part of a name, a branch or a command: those carry its number, and a command
finds it in a variable. In a prompt it is one line of plain text, in `paths` a path that was looked at.
"""

from __future__ import annotations

from collections.abc import Iterable

PLACE = "{item}"
"""Stands for the item in `prompt` and `paths`; other braces stay as they are."""

VARIABLE = "CORRAL_ITEM"
"""The variable that holds the item, in the boxes of agents and checks."""

LONGEST = 1024
"""Characters of one item."""
MOST = 10_000
"""Items of one task: as many as a run may have attempts."""
MOST_TEXT = 4 * 1024**2
"""Characters of all items of a task together."""


class ItemError(ValueError):
    """What is no item, or is too much of them."""


def plain(item: str) -> str:
    """The item, if it is one line of plain text.

    Raises:
        ItemError: It is empty, too long, or holds what can't be printed, such as a line end.
    """
    if not item.strip():
        raise ItemError("an item is empty")
    if len(item) > LONGEST:
        raise ItemError(f"an item has more than {LONGEST} characters: {item[:40]!a}…")
    if not item.isprintable():
        raise ItemError(f"an item is not plain text: {item[:80]!a}")
    return item


def bounded(items: Iterable[str]) -> tuple[str, ...]:
    """The items, each once, in their order.

    Raises:
        ItemError: There are too many, or one of them is none.
    """
    kept: dict[str, None] = {}
    size = 0
    for item in items:
        if plain(item) not in kept:
            kept[item] = None
            size += len(item)
        if len(kept) > MOST or size > MOST_TEXT:
            raise ItemError(f"more than {MOST} items, or than {MOST_TEXT // 1024**2} MiB of them")
    return tuple(kept)


def from_lines(lines: Iterable[bytes]) -> tuple[str, ...]:
    """The items that a command printed, one a line; space around them and blank lines don't count.

    Raises:
        ItemError: A line is no item, or there are too many of them.
    """
    return bounded(text for line in lines if (text := _decoded(line).strip(" \t\r")))


def _decoded(line: bytes) -> str:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ItemError(f"an item is not UTF-8 text: {line[:80]!a}") from error


def variables(item: str | None) -> dict[str, str]:
    """The variables that tell a box its item; none for a task without."""
    return {} if item is None else {VARIABLE: item}
