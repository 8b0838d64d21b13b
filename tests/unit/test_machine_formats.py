"""A run as CSV and as JUnit XML: what is written is what is read, whoever wrote the words."""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as Xml

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.supervisor import events as e
from runner.supervisor.state import RunState
from runner.supervisor.verified import CheckResult, Counts
from runner.tasks.plan import PlannedAttempt
from runner.views import junit, summary, tabular
from runner.views.inert import written_out
from tests.unit.makers import after, life, make_plan, started
from tests.unit.test_cli import call, home, past, repo  # noqa: F401 - fixtures
from tests.unit.test_inert import ACTIVE, hostile

NAMES = ("good", "bad", "fault", "late", "unwanted", "twice", "chosen")
words = hostile | st.text(alphabet="=+-@'\t\r\n ＝,;\"a<&]>", max_size=12)  # noqa: RUF001


def night(text: str = "why not") -> RunState:
    """An attempt of every kind of end, with words that a box may have written."""
    plan = make_plan(*(PlannedAttempt(task=name, profile="p") for name in NAMES))
    state = started(plan)
    check = CheckResult(
        name=text, check="failed", reason=text, runs=3, flaky=True, tests=Counts(failed=1, failing=(text,))
    )
    for name, verdict in {
        "good": "accepted",
        "bad": "rejected",
        "twice": "rejected",
        "chosen": "timeout",
    }.items():
        state = after(state, *(_told(event, text, check) for event in life(f"{name}/p/1", verdict)))
    again = [e.AttemptRetried(at=8, attempt="twice/p/1", why="feedback"), *life("twice/p/1.2", "accepted")]
    fault = [one for one in life("fault/p/1", "infrastructure") if one.kind != "attempt.started"]
    skipped = e.AttemptSkipped(at=9, attempt="unwanted/p/1", reason=text, base="a", passes=True)
    used = e.TaskDecided(at=9, task="chosen", what="use", attempt="chosen/p/1")
    return after(state, *again, *fault, skipped, used, e.RunEnded(at=10, exit_code=1))


def _told(event: e.Event, text: str, check: CheckResult) -> e.Event:
    if isinstance(event, e.AttemptEnded):
        changed = {"reason": text, "flags": (text,), "seconds": 61.25, "usd": 0.5}
        return event.model_copy(update=changed)
    if isinstance(event, e.AttemptChecked):
        return event.model_copy(update={"checks": (check,)})
    return event


# -- CSV


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def taken(cell: str) -> str:
    """What was meant by the text of a cell."""
    return cell.removeprefix("'")


@given(words)
def test_what_a_csv_holds_is_what_was_said(text: str) -> None:
    state = night(text)
    found = rows(tabular.text_csv(state))
    said = [summary.attempt_row(state, one) for one in state.attempts.values()]
    assert len(found) == len(said) == len(NAMES) + 1
    for row, one in zip(found, said, strict=True):
        assert None not in row, "no text adds a column"
        assert taken(row["reason"]) == written_out(str(one["reason"] or ""))
        assert row["seconds"] == ("" if one["seconds"] is None else repr(one["seconds"]))
        assert (row["task"], row["verdict"]) == (one["task"], one["verdict"] or "")
        assert taken(row["flags"]) == "; ".join(written_out(str(flag)) for flag in one["flags"] or ())  # type: ignore[union-attr]


@given(words)
def test_no_cell_of_it_is_a_formula_or_acts_on_a_terminal(text: str) -> None:
    printed = tabular.text_csv(night(text))
    for row in csv.reader(io.StringIO(printed, newline="")):
        assert not any(re.match(r"\s*[=+\-@＝＋－＠]", cell) for cell in row)  # noqa: RUF001
    shown = printed.replace("\r\n", "")
    assert not any(unicodedata.category(sign) in ACTIVE for sign in shown)


@pytest.mark.parametrize("text", ["=cmd|' /C calc'!A0", "+1", "-1+2", "@SUM(1)", "\t=1", " =1", "＝1"])  # noqa: RUF001
def test_known_formulas_are_text(text: str) -> None:
    assert tabular.text(text).startswith(("'", "\\x09"))


def test_its_columns_are_known_and_stay() -> None:
    (good, *_) = rows(tabular.text_csv(night()))
    assert tuple(good) == tabular.COLUMNS
    assert (good["run"], good["task"], good["n"], good["try"], good["usd"]) == ("r", "good", "1", "1", "0.5")
    assert (good["chosen"], good["branch"], good["seconds"], len(good["settings"])) == (
        "false",
        "",
        "61.25",
        16,
    )


# -- JUnit


def read(text: str) -> Xml.Element:
    return Xml.fromstring(text)  # noqa: S314 - our own


def cases(state: RunState) -> dict[str, Xml.Element]:
    suite = read(junit.text_xml(state)).find("testsuite")
    assert suite is not None
    return {case.attrib["classname"]: case for case in suite}


SAID = {
    "good": None, "bad": "failure", "fault": "error", "late": "skipped", "unwanted": "skipped", "twice": None,
    "chosen": None,
}  # fmt: skip


def outcome(case: Xml.Element) -> str | None:
    found = [child.tag for child in case if child.tag != "system-out"]
    assert len(found) <= 1
    return found[0] if found else None


@given(words)
def test_an_attempt_is_a_case_and_what_it_came_to_its_outcome(text: str) -> None:
    root = read(junit.text_xml(night(text)))
    well_formed(root)
    found = cases(night(text))
    assert {name: outcome(case) for name, case in found.items()} == SAID
    assert {case.attrib["name"] for case in found.values()} == {"p/1"}
    counts = {name: root.attrib[name] for name in ("tests", "failures", "errors")}
    assert counts == {"tests": "7", "failures": "1", "errors": "1"}
    assert root[0].attrib["skipped"] == "2"


def well_formed(root: Xml.Element) -> None:
    """What `junit-10.xsd` asks for, as far as Corral writes it."""
    may: dict[str, tuple[set[str], set[str]]] = {
        "testsuites": ({"name", "tests", "failures", "errors", "time"}, {"testsuite"}),
        "testsuite": (
            {"name", "tests", "failures", "errors", "time", "skipped", "timestamp"}, {"testcase"},
        ),
        "testcase": ({"classname", "name", "time"}, {"failure", "error", "skipped", "system-out"}),
        **dict.fromkeys(("failure", "error", "skipped"), ({"type", "message"}, set())),
        "system-out": (set(), set()),
    }  # fmt: skip
    for one in root.iter():
        attributes, children = may[one.tag]
        assert set(one.attrib) <= attributes
        assert {child.tag for child in one} <= children
        time = one.attrib.get("time", "0.")
        assert re.fullmatch(r"(([0-9]{0,3},)*[0-9]{3}|[0-9]{0,3})*(\.[0-9]*)?", time)
    suite: dict[str, Any] = dict(root[0].attrib)
    assert {"name", "tests", "failures", "errors"} <= set(suite)


def test_the_words_are_there_with_the_checks_and_earlier_tries() -> None:
    found = cases(night("a <b> & ]]> c"))
    assert found["bad"].attrib["time"] == "61.250"
    (failure, output) = found["bad"]
    assert failure.attrib == {"type": "rejected", "message": "a <b> & ]]> c"}
    assert "check a <b> & ]]> c failed: a <b> & ]]> c; 0 passed, 1 failed, 0 skipped; flaky in 3 runs" in str(
        output.text
    )
    assert "try 1: rejected  a <b> & ]]> c" in str(found["twice"].findtext("system-out"))


def test_the_command_prints_them_and_only_one_at_a_time(past: None, home: Path) -> None:  # noqa: ARG001, F811
    assert [row["task"] for row in rows(call(home, "report", "r", "--csv").stdout)] == ["good", "bad"]
    assert read(call(home, "report", "r", "--junit").stdout).attrib["failures"] == "1"
    done = call(home, "report", "r", "--csv", "--junit")
    assert "--csv and --junit exclude each other" in str(done.exception)
