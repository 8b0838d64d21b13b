"""What the runs of checks come to."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.gather.junit import UNREAD, Report
from runner.supervisor.attempt import judging
from runner.supervisor.attempt.check import Checked
from runner.supervisor.attempt.judging import Look
from runner.supervisor.verdict import Check
from runner.supervisor.verified import CheckResult, Counts
from runner.tasks.plan import CheckSpec, Task

SPEC = CheckSpec(run="make test")
REPORTS = CheckSpec(run="pytest --junitxml=$CORRAL_JUNIT")
PASSED = Look(Checked("passed", "", 0, 1.0))
FAILED = Look(Checked("failed", "exit 1", 1, 1.0))
LONG = Look(Checked("failed", "too long", None, 9.0))
STOPPED = Look(Checked("not-run", "stopped", None, 0.1))


def judged(says: list[Look], before: Check | None, spec: CheckSpec = SPEC) -> tuple[list[Look], CheckResult]:
    """The runs that are made of a check that would say this, and what comes of them."""
    looks = [says[0]]
    while judging.once_more(spec, looks, before):
        looks.append(says[len(looks)])
    known = None if before is None else CheckResult(name="check", check=before)
    return looks, judging.result(spec, looks, known)


@pytest.mark.parametrize(
    ("says", "before", "runs", "check", "flaky"),
    [
        ([PASSED], None, 1, "passed", False),
        ([FAILED], None, 1, "failed", False),
        ([PASSED], "passed", 1, "passed", False),
        ([FAILED], "failed", 1, "failed", False),
        ([PASSED, PASSED], "failed", 2, "passed", False),
        ([FAILED, FAILED], "passed", 2, "failed", False),
        ([PASSED, FAILED, PASSED], "failed", 3, "passed", True),
        ([PASSED, FAILED, FAILED], "failed", 3, "failed", True),
        ([FAILED, PASSED, FAILED], "passed", 3, "failed", True),
        ([LONG], "passed", 1, "failed", False),
        ([PASSED, STOPPED], "failed", 2, "not-run", False),
    ],
)
def test_what_differs_from_the_base_has_to_be_said_twice(
    says: list[Look], before: Check | None, runs: int, check: Check, flaky: bool
) -> None:
    looks, told = judged(says, before)
    assert (len(looks), told.runs, told.check, told.flaky) == (runs, runs, check, flaky)
    assert ("flaky" in told.reason) == flaky


@given(
    st.lists(st.sampled_from([PASSED, FAILED]), min_size=20, max_size=20),
    st.sampled_from([None, "passed", "failed"]),
    st.integers(1, 9),
)
def test_the_majority_counts_and_no_tie_is_left(says: list[Look], before: Check | None, runs: int) -> None:
    looks, told = judged(says, before, CheckSpec(run="x", runs=runs))
    passed = sum(look is PASSED for look in looks)
    assert runs <= len(looks) <= max(runs + 1, 3)
    assert told.flaky == (0 < passed < len(looks))
    assert 2 * passed != len(looks)
    assert (told.check == "passed") == (2 * passed > len(looks))


def test_a_report_that_is_too_much_proves_nothing_and_is_no_cheat() -> None:
    look = judging.proved(REPORTS, Look(PASSED.checked, UNREAD))
    told = judging.result(REPORTS, [look], None)
    assert (told.check, told.tests, told.unread) == ("failed", None, True)
    assert judging.flags([told]) == (f"report-unread: {told.reason}",)
    assert "beyond what is read: 16 MiB, 100,000 tests" in told.reason
    assert judging.proved(SPEC, Look(PASSED.checked, UNREAD)).checked.check == "passed", (
        "nobody asked for one"
    )


def test_exit_0_proves_nothing_without_the_tests_that_were_to_run() -> None:
    told = {
        None: "without the report",
        Report(): "no test ran",
        Report(skipped=("a",)): "no test ran",
        Report(passed=("a",), failed=("b",)): "1 test that failed",
    }
    for report, words in told.items():
        look = judging.proved(REPORTS, Look(PASSED.checked, report))
        assert (look.checked.check, words in look.checked.reason) == ("failed", True)
        (flag,) = judging.flags([judging.result(REPORTS, [look], None)])
        assert flag.startswith("check-without-tests: ")
    assert judging.proved(REPORTS, Look(PASSED.checked, Report(("a",)))).checked.check == "passed"
    assert judging.proved(SPEC, PASSED) == PASSED
    assert judging.proved(REPORTS, FAILED) == FAILED


def test_tests_that_passed_before_and_fail_now_are_named() -> None:
    before = CheckResult(name="check", check="passed", tests=Counts(passed=2, passing=("a", "b")))
    look = Look(FAILED.checked, Report(("b",), ("a", "new")))
    told = judging.result(SPEC, [look, look], before)
    assert (told.broken, told.before) == (("a",), "passed")
    assert "1 test that passed before" in told.reason
    assert told.tests == Counts(passed=1, failed=2, failing=("a", "new"))


def test_names_of_passed_tests_are_kept_for_the_base_alone() -> None:
    look = Look(PASSED.checked, Report(("a",)))
    kept = judging.result(SPEC, [look], None, names=True).tests
    assert kept is not None
    assert kept.passing == ("a",)
    left = judging.result(SPEC, [look], None).tests
    assert left is not None
    assert left.passing == ()


@pytest.mark.parametrize("said", list(product(["passed", "failed", "not-run"], repeat=2)))
def test_all_checks_together(said: tuple[Check, Check]) -> None:
    results = [
        CheckResult(name=name, check=one, reason=f"why {one}") for name, one in zip("ab", said, strict=True)
    ]
    check, reason, _ = judging.in_all(results)
    wanted = "failed" if "failed" in said else "not-run" if "not-run" in said else "passed"
    assert check == wanted
    if wanted != "passed":
        assert reason.startswith("a: " if said[0] == wanted else "b: ")


def test_no_checks_say_none() -> None:
    assert judging.in_all([]) == ("none", "", None)


def test_plans_of_earlier_versions_are_read() -> None:
    old = Task.model_validate({"id": "t", "check": "make"})
    assert (old.checks, old.check_base, old.check) == ((CheckSpec(run="make"),), False, "make")
    assert Task.model_validate({"id": "t", "check": None}).checks == ()
    assert Task.model_validate(old.model_dump(mode="json")) == old
