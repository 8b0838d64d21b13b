"""How the bytes of a page are shared: small things stay whole, large ones get equal parts of the rest."""

from __future__ import annotations

from collections.abc import Sequence

LARGEST = 9_000_000
"""Bytes of a page: what opens at once, and what a message may have attached."""
ALWAYS = 100_000
"""Bytes kept for the style sheet, the headline, and what stands around."""
MOST_ATTEMPTS = 1000
"""Attempts that are told of at length; where there are more, the rest stand in the grid and the timeline."""
COLOURED = 900_000
"""Characters of code that are read to be coloured: that takes some three seconds, the rest of a page one."""
SMALLEST = 800
"""Bytes of text that are worth showing."""


def shares(needs: Sequence[int], total: int) -> list[int]:
    """What each gets: all that it needs, or as much as every other one that does not get that.

    Args:
        needs: What each needs.
        total: What there is.
    """
    given, left = [0] * len(needs), max(0, total)
    order = sorted(range(len(needs)), key=lambda n: needs[n])
    for place, n in enumerate(order):
        given[n] = min(max(0, needs[n]), left // (len(order) - place))
        left -= given[n]
    return given
