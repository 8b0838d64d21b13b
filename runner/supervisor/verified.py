"""What checks said of a commit: plain values, journaled with the attempt."""

from __future__ import annotations

from runner.supervisor.verdict import Check
from runner.supervisor.words import Words
from runner.tasks.plan import Value


class Counts(Value):
    """What a check's own report (JUnit) says of its tests. `failing` holds the first few names."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0
    failing: tuple[Words, ...] = ()
    passing: tuple[Words, ...] = ()
    """The names of those that passed, where they are few enough to be kept."""


class CheckResult(Value):
    """What one check said.

    `before` is what the same check says of the commit that the work starts from: None where it was not asked.
    """

    name: str
    check: Check
    reason: Words = ""
    exit_code: int | None = None
    seconds: float | None = None
    """Of all its runs."""
    runs: int = 1
    flaky: bool = False
    """Whether its runs did not agree; what most of them say counts."""
    tests: Counts | None = None
    unread: bool = False
    """Whether its report is beyond what is read, so that nothing is known of its tests."""
    before: Check | None = None
    broken: tuple[Words, ...] = ()
    """Tests that passed before and fail now, the first few names."""
