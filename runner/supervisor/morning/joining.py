"""What became of each branch that was to be put together with others, in words: pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from runner.gather.conflicts import Matrix
from runner.gather.integration import Candidate, How, Left, Outcome
from runner.supervisor import events as e
from runner.supervisor.morning.chosen import Gathered

SHOWN = 3
"""Names told of many."""
OVERRULED = "a person chose it: its own check, which it does not pass, was not asked"


def joined(
    outcome: Outcome,
    matrix: Matrix,
    overruled: Collection[str] = (),
    proved_nothing: Mapping[str, str] | None = None,
) -> Iterator[e.Joined]:
    """What became of each, those that are in first.

    Args:
        outcome: What came of it.
        matrix: How all of them meet.
        overruled: Those whose own checks were not asked, since a person chose them in spite of these.
        proved_nothing: By the branch with which they did, what checks said that ended well and did not pass.
    """
    said = proved_nothing or {}
    there, conflicts = {one.attempt for one in outcome.tip.members}, matrix.conflicts()
    for one, how in outcome.how():
        yield _in(outcome, matrix, one, how, overruled)
    for left in outcome.left:
        holder = _holder(outcome, left.one)
        if holder is not None:
            why = f"{holder} holds its commits, and goes together with the others"
            yield e.Joined(attempt=left.one.attempt, went_in=True, why=why)
        else:
            why = said.get(left.one.attempt, "") if left.cause == "check" else ""
            yield _left_out(left, conflicts.get(left.one.attempt, set()) & there, why)


def passed_over(group: Gathered) -> Iterator[e.Joined]:
    """Why others that were accepted could not be chosen, or are not there any more."""
    for one in group.passed_over:
        if one.instead is None:
            whose = "it" if one.holds == one.attempt.key else f"{one.holds}, on which it builds,"
            why = f"{whose} cheated: {one.cheated}"
            yield e.Joined(attempt=str(one.attempt.key), went_in=False, why=why, cause="cheating")
            continue
        why = f"it builds on {one.holds}, and {one.instead} is what goes in of that task"
        yield e.Joined(attempt=str(one.attempt.key), went_in=False, why=why, with_=(str(one.instead),))
    for gone in group.discarded:
        yield e.Joined(
            attempt=str(gone.key), went_in=False, why="its branch was discarded", cause="discarded"
        )


def _in(outcome: Outcome, matrix: Matrix, one: Candidate, how: How, overruled: Collection[str]) -> e.Joined:
    if how == "same":
        there = {other.attempt for other in outcome.tip.members}
        twins = {name for group in matrix.same if one.attempt in group for name in group}
        return e.Joined(
            attempt=one.attempt,
            went_in=False,
            why="all that it changes is in already",
            cause="same",
            with_=tuple(sorted(twins & there - {one.attempt})),
        )
    held = f"{_holder(outcome, one)} holds its commits" if how == "held" else ""
    chosen = OVERRULED if one.attempt in overruled else ""
    return e.Joined(attempt=one.attempt, went_in=True, why="; ".join(filter(None, (held, chosen))))


def _holder(outcome: Outcome, one: Candidate) -> str | None:
    """Who of those that are in holds a branch's commits."""
    found = (other.attempt for other in outcome.tip.members if one.attempt in other.holds)
    return next(found, None)


def _left_out(left: Left, conflicts: set[str], said: str) -> e.Joined:
    """Why a branch is not in.

    Args:
        left: The branch.
        conflicts: Those that are in with which it does not merge by itself.
        said: What a check said of it that the exit code does not tell.
    """
    name, with_ = left.one.attempt, left.partners
    if left.cause == "conflict":
        with_ = tuple(sorted(conflicts)) or with_
        why = f"it does not merge with {_listed(with_)}"
    elif left.cause == "error":
        why = left.error
    elif left.alone:
        why = "the checks fail on it alone"
    elif with_:
        why = f"the checks fail on it and {_listed(with_)} together"
    else:
        why = "the checks fail with it; with which others together was not found out"
    why = f"{why} ({said})" if said else why
    return e.Joined(attempt=name, went_in=False, why=why, cause=left.cause, with_=with_, files=left.files)


def _listed(found: Sequence[str]) -> str:
    more = len(found) - SHOWN
    return ", ".join(found[:SHOWN]) + (f" and {more} more" if more > 0 else "")
