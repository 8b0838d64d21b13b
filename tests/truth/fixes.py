"""What a later release changed, in numbered pieces, and what becomes of the earlier one with some of them.

The pieces are those of `difflib`, over whole lines, counted from 1 through all source files in the order of
their names. So a fix is a set of numbers: the bytes themselves come from the two pinned releases, and from
nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import pairwise

Files = Mapping[str, bytes]
"""Files by their path, which is relative to the release's own top folder."""


@dataclass(frozen=True)
class Piece:
    """A run of lines that differs: lines `begin` to `end` (from 0, the end excluded) become `lines`."""

    path: str
    begin: int
    end: int
    lines: tuple[bytes, ...]


def pieces(earlier: Files, later: Files) -> tuple[Piece, ...]:
    """All that differs between two sets of files; a file that only the later one has is one piece."""
    found: list[Piece] = []
    for path in sorted(later):
        old, new = (files.get(path, b"").splitlines(keepends=True) for files in (earlier, later))
        for kind, begin, end, start, stop in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
            if kind != "equal":
                found.append(Piece(path, begin, end, tuple(new[start:stop])))
    return tuple(found)


def applied(earlier: Files, changes: Sequence[Piece]) -> dict[str, bytes]:
    """The files that these pieces change, as they are then."""
    made: dict[str, list[bytes]] = {}
    for piece in sorted(changes, key=lambda piece: (piece.path, piece.begin, piece.end), reverse=True):
        lines = made.setdefault(piece.path, earlier.get(piece.path, b"").splitlines(keepends=True))
        lines[piece.begin : piece.end] = piece.lines
    return {path: b"".join(lines) for path, lines in made.items()}


def least(numbers: Sequence[int], holds: Callable[[Collection[int]], bool]) -> tuple[int, ...]:
    """A smallest set of numbers that still holds: none of it can be left out.

    Zeller and Hildebrandt's minimising delta debugging (2002), for a question that is asked again and again.

    Raises:
        ValueError: All of them together don't hold.
    """
    if not holds(numbers):
        raise ValueError("it does not hold with all of them")
    kept, parts = list(numbers), 2
    while len(kept) > 1:
        smaller = next((rest for rest in _without_a_part(kept, parts) if holds(rest)), None)
        if smaller is not None:
            kept, parts = smaller, max(parts - 1, 2)
        elif parts >= len(kept):
            break
        else:
            parts = min(2 * parts, len(kept))
    return tuple(kept)


def _without_a_part(numbers: Sequence[int], parts: int) -> Iterator[list[int]]:
    """The numbers without each of so many parts of them, of about equal size."""
    edges = [len(numbers) * part // parts for part in range(parts + 1)]
    for begin, end in pairwise(edges):
        yield [*numbers[:begin], *numbers[end:]]
