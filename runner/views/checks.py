"""Checks, and what they said, in words."""

from __future__ import annotations

from runner.supervisor.verified import CheckResult
from runner.tasks.checks import ONLY
from runner.tasks.plan import CheckSpec
from runner.views import wording


def command(check: CheckSpec) -> str:
    """A check as it is run, with its name if it has one."""
    return check.run if check.name == ONLY else f"{check.name}: {check.run}"


def line(one: CheckResult) -> str:
    """What a check said, in one line."""
    words = [f"{one.name}: {one.check}"]
    if one.tests is not None:
        counts = {"passed": one.tests.passed, "failed": one.tests.failed, "skipped": one.tests.skipped}
        words.append(", ".join(f"{count} {what}" for what, count in counts.items() if count) or "no tests")
    if one.before is not None:
        words.append(f"before: {one.before}")
    if one.runs > 1:
        words.append(f"{one.runs} runs{', flaky' if one.flaky else ''}")
    if one.seconds is not None:
        words.append(wording.duration(one.seconds))
    return "; ".join(words)
