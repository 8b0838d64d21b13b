"""Was it fair, and was it honest? What was found of attempts, and of those that are compared as a pair."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Weight = Literal["note", "unfair", "cheating"]
"""`note`: a person may want to know it. `unfair`: the attempt had it easier or harder than its counterpart,
so the pair does not count. `cheating`: it reached for its result by another way than the task's."""


@dataclass(frozen=True)
class Finding:
    """What was found of one attempt.

    Attributes:
        attempt: Its name.
        what: Which finding it is, by its stable name (like `protected-touched`).
        words: What that was, in a sentence, with names made safe to show.
        weight: What follows from it.
    """

    attempt: str
    what: str
    words: str
    weight: Weight = "note"


@dataclass(frozen=True)
class PairVerdict:
    """Whether two attempts at one task, the same repeat of two profiles, may be compared; else `why` not."""

    a: str
    b: str
    fair: bool
    why: tuple[str, ...] = ()


@dataclass(frozen=True)
class Audit:
    """All findings of a run, and the verdicts on its pairs."""

    findings: tuple[Finding, ...] = ()
    pairs: tuple[PairVerdict, ...] = ()

    def of(self, attempt: str) -> tuple[Finding, ...]:
        """The findings of one attempt."""
        return tuple(one for one in self.findings if one.attempt == attempt)
