"""A run as JUnit XML, an attempt a test case: for build servers, which show it and fail by it.

Of an attempt that was tried again its last try counts; the others are told in its output. The form is what
Jenkins reads (`junit-10.xsd` of its xUnit plugin), and GitLab, GitHub and others take. `line` and `block`
leave nothing in a text that XML can't hold.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from typing import Literal
from xml.etree import ElementTree as Xml

from runner.supervisor.state import RunState
from runner.supervisor.tried import AttemptState
from runner.supervisor.verified import CheckResult
from runner.tasks.checks import ONLY
from runner.tasks.when import SKIPPED
from runner.views import wording
from runner.views.inert import block, line

Outcome = Literal["passed", "failure", "error", "skipped"]


def text_xml(state: RunState) -> str:
    """The attempts of a run as one test suite."""
    last = [one for one in state.as_written if one.key == state.tries(one.key)[-1].key]
    outcomes = [outcome(state, one) for one in last]
    counted = Counter(outcomes)
    totals = {
        "name": state.name,
        "tests": str(len(last)),
        "failures": str(counted["failure"]),
        "errors": str(counted["error"]),
        "time": _seconds(sum(one.seconds or 0.0 for one in last)),
    }
    suites = Xml.Element("testsuites", totals)
    began = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(state.started))
    more = {"skipped": str(counted["skipped"]), "timestamp": began}
    suite = Xml.SubElement(suites, "testsuite", totals | more)
    for one, what in zip(last, outcomes, strict=True):
        suite.append(_case(state, one, what))
    Xml.indent(suites)
    return Xml.tostring(suites, encoding="unicode", xml_declaration=True) + "\n"


def outcome(state: RunState, attempt: AttemptState) -> Outcome:
    """What a build server makes of an attempt: what was begun and did not serve has failed."""
    if attempt.verdict in {None, SKIPPED} or attempt.started is None:
        return "error" if attempt.verdict == "infrastructure" else "skipped"
    if state.counts(attempt):
        return "passed"
    return "error" if attempt.verdict == "infrastructure" else "failure"


def _case(state: RunState, attempt: AttemptState, what: Outcome) -> Xml.Element:
    key = attempt.key
    case = Xml.Element("testcase", {"classname": key.task, "name": f"{key.profile}/{key.n}"})
    if attempt.seconds is not None:
        case.set("time", _seconds(attempt.seconds))
    if what != "passed":
        verdict = attempt.verdict or attempt.phase
        why = {"type": verdict, "message": line(attempt.reason, 1000) or verdict}
        Xml.SubElement(case, what, why).text = block("\n".join(_why(attempt)))
    Xml.SubElement(case, "system-out").text = block("\n".join(_told(state, attempt)))
    return case


def _why(attempt: AttemptState) -> Iterator[str]:
    """What stands against an attempt."""
    yield attempt.reason or attempt.verdict or attempt.phase
    for check in attempt.checks:
        if check.check == "failed":
            yield _check(check)
            yield from (f"  {name}" for name in (check.tests.failing if check.tests is not None else ()))


def _told(state: RunState, attempt: AttemptState) -> Iterator[str]:
    """What else is known of an attempt, a line each."""
    task = state.plan.task(attempt.key.task)
    yield f"verdict: {wording.judged(state, attempt)}"
    if task.item is not None:
        yield f"item: {task.item}"
    yield from (f"try {one.key.try_}: {one.verdict}  {one.reason}" for one in state.tries(attempt.key)[:-1])
    yield from map(_check, attempt.checks)
    if attempt.branch is not None:
        yield f"branch: {attempt.branch}  {wording.diff_stat(attempt)}"
    elif attempt.discarded is not None:
        yield f"branch: {wording.discarded(attempt)}  {wording.diff_stat(attempt)}"
    if attempt.tokens is not None:
        yield f"tokens: {attempt.tokens}, cost: {wording.usd(attempt.usd)}"
    yield from (f"noticed: {flag}" for flag in attempt.flags)


def _check(check: CheckResult) -> str:
    tests = check.tests
    counts = (
        "" if tests is None else f"; {tests.passed} passed, {tests.failed} failed, {tests.skipped} skipped"
    )
    flaky = f"; flaky in {check.runs} runs" if check.flaky else ""
    reason = f": {check.reason}" if check.reason else ""
    name = "check" if check.name == ONLY else f"check {check.name}"
    return f"{name} {check.check}{reason}{counts}{flaky}"


def _seconds(seconds: float) -> str:
    return f"{seconds:.3f}"
