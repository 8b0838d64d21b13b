"""What the runs of a check come to: pure functions from what was seen to what is said of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from runner.gather.junit import LARGEST, MOST, MOST_ELEMENTS, Report
from runner.supervisor.attempt.check import Checked
from runner.supervisor.verdict import Check
from runner.supervisor.verified import CheckResult, Counts
from runner.tasks.plan import CheckSpec

SHOWN = 20
"""Names of tests that are told."""
NO_TESTS = "check-without-tests"
UNREAD = "report-unread"
STEERED = "check-steered"
HIDDEN = "hidden-touched"
AS_GIVEN = "protected-as-given"
"""What flags begin with: of checks that prove nothing, whose report is too much to be read, or that pass only
as the work configures them; of work that lies where hidden files are laid; of protected files that earlier
work changed."""
_BEYOND = (
    f"it ended with exit 0, but its report is beyond what is read: {LARGEST // 1024**2} MiB, {MOST:,} tests,"
    f" {MOST_ELEMENTS:,} elements"
)


@dataclass(frozen=True)
class Look:
    """One run of a check: how it ended, and what its report says, if it wrote one."""

    checked: Checked
    report: Report | None = None


def proved(spec: CheckSpec, look: Look) -> Look:
    """A run that passed, as it counts: not without the tests that it was to run.

    An exit code is easily forged by the code under test; a report takes more. So a check that is to write one
    passes only with one, in which a test ran and none failed.
    """
    if look.checked.check != "passed":
        return look
    report = look.report
    why = ""
    if report is None and spec.reports:
        why = "it ended with exit 0 and without the report that it was to write"
    elif report is not None and not report.is_read:
        why = f"{_BEYOND}; let it hold less, such as no output of tests that passed" if spec.reports else ""
    elif report is not None and report.failed:
        why = f"it ended with exit 0, but its report names {_tests(len(report.failed))} that failed"
    elif report is not None and not report.ran:
        why = "it ended with exit 0, but no test ran, as its report says"
    return replace(look, checked=replace(look.checked, check="failed", reason=why)) if why else look


def once_more(spec: CheckSpec, looks: Sequence[Look], before: Check | None) -> bool:
    """Whether a check is to be run once more before anything is said of it.

    What it says of the work, and does not say of the base, is what the work is judged by: so it has to say it
    twice. Where two runs differ, the third decides.
    """
    said = Counter(look.checked.check for look in looks)
    last = looks[-1].checked
    if said["not-run"] or last.exit_code is None:
        return False  # stopped, too long, or not to be laid out: that would stay so
    wanted = spec.runs
    if before in {"passed", "failed"} and last.check != before:
        wanted = max(wanted, 2)
    if len(said) > 1:
        wanted = max(wanted, 3) | 1
    return len(looks) < wanted


def result(
    spec: CheckSpec, looks: Sequence[Look], before: CheckResult | None, *, names: bool = False
) -> CheckResult:
    """What is said of a check that was run so often.

    Args:
        spec: The check.
        looks: Its runs, one at least.
        before: What it says of the base, if that is known.
        names: Whether the names of tests that passed are kept, for a later look to be compared with.
    """
    said = Counter(look.checked.check for look in looks)
    check = _most(said)
    last = next(look for look in reversed(looks) if look.checked.check == check)
    flaky = len(said - Counter({"not-run": said["not-run"]})) > 1
    broken = _broken(before, last.report)
    reason = last.checked.reason
    if broken:
        reason = f"{reason}: {_tests(len(broken))} that passed before fail: {', '.join(broken[:3])}"
    if flaky:
        reason = f"{reason + '; ' if reason else ''}flaky: {said['passed']} of {len(looks)} runs passed"
    return CheckResult(
        name=spec.name,
        check=check,
        reason=reason,
        exit_code=last.checked.exit_code,
        seconds=sum(look.checked.seconds or 0.0 for look in looks),
        runs=len(looks),
        flaky=flaky,
        tests=None if last.report is None or not last.report.is_read else _counts(last.report, names=names),
        unread=last.report is not None and not last.report.is_read,
        before=None if before is None else before.check,
        broken=broken[:SHOWN],
    )


def without(
    told: CheckResult, second: CheckResult, own: Sequence[str], planted: Sequence[str], cure: str = ""
) -> CheckResult:
    """What counts of a check that passed, after it was asked without files that steer it.

    Args:
        told: What it said.
        second: What it said without them.
        own: The files that the work itself changes.
        planted: Those that work before it left so.
        cure: What a person can do who wants these as they are.
    """
    if second.check == "passed":
        return told
    if second.check == "not-run":  # it was stopped: nobody knows
        return told.model_copy(update={"check": "not-run", "reason": "the run was stopped"})
    proved = second.exit_code is not None and not told.flaky
    if proved and own:
        mend = "if that is wanted, name it in the task's `paths`"
        why = f"it passes only with the work's own {_few(own)}; {mend}"
        return told.model_copy(update={"check": "failed", "reason": why})
    if proved:
        why = f"it passes only with {_few(planted)} as work before it left it; if that is wanted, {cure}"
    else:
        why = f"without {_few([*own, *planted])}: {second.reason}"
    return told.model_copy(update={"check": "failed", "reason": why, "exit_code": None})


def steered_words(counted: Sequence[CheckResult]) -> tuple[str, ...]:
    """Of checks that passed at first, why those fail that pass only with the work's own files."""
    return tuple(one.reason for one in counted if one.check == "failed" and one.exit_code is not None)


def _few(files: Sequence[str]) -> str:
    named = ", ".join(ascii(name).strip("'") for name in files[:3])
    return f"{named} and {len(files) - 3} more" if len(files) > 3 else named


def flags(results: Sequence[CheckResult], restored: Sequence[str] = (), cure: str = "") -> tuple[str, ...]:
    """What a person should know of checks: that they ended well and did not pass for it, and what they saw.

    Args:
        results: What they said.
        restored: Protected files that they saw as a person gave them, not as work before this one left them.
        cure: What a person can do who wants these as that work left them.
    """
    said = tuple(
        f"{UNREAD if one.unread else NO_TESTS}: {one.reason}"
        for one in results
        if one.check == "failed" and one.exit_code == 0
    )
    if not restored:
        return said
    why = f"{_few(restored)}, not as work before it left it; if that is to count, {cure}"
    return (*said, f"{AS_GIVEN}: {why}")


def in_all(results: Sequence[CheckResult]) -> tuple[Check, str, int | None]:
    """What all checks of a task say together, why, and the exit code that goes with it."""
    for wanted in ("failed", "not-run"):
        bad = [one for one in results if one.check == wanted]
        if bad:
            reason = bad[0].reason if len(results) == 1 else f"{bad[0].name}: {bad[0].reason}"
            return bad[0].check, reason, bad[0].exit_code
    if not results:
        return "none", "", None
    told = next((one.reason for one in results if one.reason), "")
    return "passed", told, results[-1].exit_code


def _most(said: Counter[Check]) -> Check:
    """What most runs say; where as many say this as that, or one was stopped, it is not taken for passed."""
    if said["not-run"]:
        return "not-run"
    return "passed" if said["passed"] > said["failed"] else "failed"


def _broken(before: CheckResult | None, report: Report | None) -> tuple[str, ...]:
    """Tests that passed on the base and fail now."""
    if before is None or before.tests is None or report is None:
        return ()
    passed = set(before.tests.passing)
    return tuple(name for name in report.failed if name in passed)


MOST_NAMES = 2000
"""Tests of which the names are kept: enough to tell which ones work has broken."""


def _counts(report: Report, *, names: bool) -> Counts:
    return Counts(
        passed=len(report.passed),
        failed=len(report.failed),
        skipped=len(report.skipped),
        failing=report.failed[:SHOWN],
        passing=report.passed if names and len(report.passed) <= MOST_NAMES else (),
    )


def _tests(count: int) -> str:
    return "1 test" if count == 1 else f"{count} tests"
