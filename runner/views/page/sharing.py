"""How the bytes of a page are shared: small things stay whole, large ones get equal parts of the rest."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from runner.views.page.markup import Html

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


def within(needs: Sequence[int], total: int, draw: Callable[[int, int], Html]) -> list[Html]:
    """Drawings that are at most so large together: none is cut where all have room, as far as is known.

    The smallest is drawn first, and what it really took is what the others no longer have.

    Args:
        needs: About what each takes at most, which is known only when it is drawn.
        total: The bytes for all.
        draw: Draws one, by its place in `needs`, within so many bytes.
    """
    drawn = [Html("")] * len(needs)
    left, to_come = max(0, total), sum(needs)
    for place, n in enumerate(sorted(range(len(needs)), key=lambda n: needs[n])):
        to_come -= needs[n]
        drawn[n] = draw(n, max(left // (len(needs) - place), left - to_come))
        left = max(0, left - len(drawn[n].text.encode()))
    return drawn
