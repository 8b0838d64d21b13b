"""Which accepted branches can't be had together: every two of them merged, in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["clean", "conflict", "unknown"]


@dataclass(frozen=True)
class Meeting:
    """Two branches that change a path in common.

    Attributes:
        a: One, by the name of its attempt.
        b: The other one, which comes later.
        kind: Whether git merges them `clean`, finds a `conflict`, or could not be asked (`unknown`).
        files: The files that are in conflict; else those that both change. Names made safe to show, the first
            few of them.
    """

    a: str
    b: str
    kind: Kind
    files: tuple[str, ...] = ()


@dataclass(frozen=True)
class Matrix:
    """How branches of one repository meet; two without a `Meeting` share no path, and merge.

    `same` holds those that come to the same files: groups of attempts with one tree.
    """

    attempts: tuple[str, ...] = ()
    meetings: tuple[Meeting, ...] = ()
    same: tuple[tuple[str, ...], ...] = ()

    def between(self, a: str, b: str) -> Meeting | None:
        """How two of them meet, in whatever order."""
        found = (one for one in self.meetings if {one.a, one.b} == {a, b})
        return next(found, None)
