"""The compared profiles of a run, as fairly as its audit allows."""

from __future__ import annotations

from dataclasses import dataclass

from runner.compare.audit import Audit, fairly
from runner.compare.scored import Comparison
from runner.supervisor.morning.evidence import audited
from runner.supervisor.scoring import comparison, scored
from runner.supervisor.state import RunState


@dataclass(frozen=True)
class Judged:
    """What was found of a run, and what its comparison comes to once that is taken into account."""

    audit: Audit
    comparison: Comparison


def judged(state: RunState, *, include_unfair: bool = False) -> Judged:
    """Judge a run.

    Args:
        state: The run; one that compares nothing has an audit and an empty comparison.
        include_unfair: Whether everything counts as it is, at the user's word.
    """
    rows = scored(state)
    audit = audited(state, rows)
    counted, excluded = fairly(rows, audit, include_unfair=include_unfair)
    as_counted = {row.attempt: row for row in counted}
    told = [as_counted.get(row.attempt, row) for row in rows]
    unfair = {one.attempt: one.why for one in excluded}
    return Judged(audit, comparison(state, unfair, rows=told))
