"""Was it fair, and was it honest? What was found of attempts, and of those that are compared as a pair.

`findings` says what is to be said of each attempt, `judge` adds what is only seen beside others, and gives a
verdict on each pair. What follows from that is three short functions: `left_out` (unfair: it does not count),
`discounted` (a cheat: it counts, as not accepted), and `fairly`, which does both to what is compared.

A cheat is not left out: whoever cheats on what is too hard would then be judged by what is easy alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from runner.compare.scored import Excluded, Scored

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


def left_out(audit: Audit) -> dict[str, str]:
    """The attempts that do not count, since they had it easier or harder than their counterparts, and why."""
    return _of_weight(audit, "unfair")


def discounted(audit: Audit) -> dict[str, str]:
    """The attempts whose acceptance does not count, since they cheated, and how."""
    return _of_weight(audit, "cheating")


def _of_weight(audit: Audit, weight: Weight) -> dict[str, str]:
    why: dict[str, list[str]] = {}
    for finding in audit.findings:
        if finding.weight == weight:
            why.setdefault(finding.attempt, []).append(f"{finding.what}: {finding.words}")
    return {attempt: "; ".join(reasons) for attempt, reasons in why.items()}


def fairly(
    rows: Iterable[Scored], audit: Audit, *, include_unfair: bool = False
) -> tuple[list[Scored], tuple[Excluded, ...]]:
    """What is to be compared, and what is left out.

    Args:
        rows: What was scored.
        audit: What was found of it.
        include_unfair: Whether the user wants all of it to count as it is.
    """
    known = list(rows)
    if include_unfair:
        return known, ()
    unfair, cheats = left_out(audit), discounted(audit)
    cheats = {attempt: why for attempt, why in cheats.items() if attempt not in unfair}
    counted = [
        replace(row, accepted=False) if row.attempt in cheats else row
        for row in known
        if row.attempt not in unfair
    ]
    excluded = (Excluded(row.attempt, unfair[row.attempt]) for row in known if row.attempt in unfair)
    return counted, tuple(excluded)


def with_weights(findings: Sequence[Finding], unfair: Iterable[tuple[str, str]]) -> tuple[Finding, ...]:
    """The findings, those that make a pair unfair weighing so: each by its attempt and its name."""
    raised = set(unfair)
    return tuple(
        replace(one, weight="unfair") if one.weight == "note" and (one.attempt, one.what) in raised else one
        for one in findings
    )
