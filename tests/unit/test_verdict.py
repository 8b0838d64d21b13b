"""The verdict is a pure function; its table is the one in docs/verdicts.md."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import get_args

import pytest

from runner.supervisor.verdict import (
    LAYOUT_FAILED,
    Check,
    Ended,
    Exit,
    Verdict,
    Work,
    how_it_ended,
    served,
    verdict,
)

DOCS = Path(__file__).parents[2] / "docs" / "verdicts.md"


@pytest.mark.parametrize(
    ("seen", "ended"),
    [
        (Exit(code=0), "exited"),
        (Exit(code=3), "agent-error"),
        (Exit(code=127), "agent-error"),
        (Exit(code=0, report="it says so"), "agent-error"),
        (Exit(code=137, oom_killed=True), "oom"),
        (Exit(code=137), "agent-error"),
        (Exit(code=0, oom_killed=True), "exited"),
        (Exit(code=0, oom_killed=True, oom_last=True), "exited"),
        (Exit(code=1, oom_killed=True), "agent-error"),
        (Exit(code=1, oom_killed=True, oom_last=True), "oom"),
        (Exit(code=1, oom_killed=True, oom_last=True, asked="which?"), "oom"),
        (Exit(code=1, oom_killed=True, oom_last=True, spent="run"), "over-budget"),
        (Exit(code=1, oom_killed=True, oom_last=True, disk_full=True), "disk"),
        (Exit(code=1, oom_killed=True, oom_last=True, window="the weekly window"), "limited"),
        (Exit(code=1, oom_killed=True, disk_full=True), "disk"),
        (Exit(code=1, oom_killed=True, spent="run"), "over-budget"),
        (Exit(code=LAYOUT_FAILED, ready=False, oom_killed=True, oom_last=True), "oom"),
        (Exit(code=LAYOUT_FAILED, ready=False, oom_killed=True), "infrastructure"),
        (Exit(code=None), "infrastructure"),
        (Exit(code=LAYOUT_FAILED, ready=False), "infrastructure"),
        (Exit(code=LAYOUT_FAILED, ready=True), "agent-error"),
        (Exit(code=None, stopped="timeout"), "timeout"),
        (Exit(code=None, stopped="stalled"), "stalled"),
        (Exit(code=137, oom_killed=True, stopped="cancelled"), "cancelled"),
        (Exit(code=None, stopped="over"), "timeout"),
        (Exit(code=None, stopped="over", window="the weekly window of anthropic"), "limited"),
        (Exit(code=None, stopped="cancelled", window="the weekly window of anthropic"), "cancelled"),
        (Exit(code=1, report="it says so", window="the weekly window of anthropic"), "limited"),
        (Exit(code=1, spent="run", window="the weekly window of anthropic"), "over-budget"),
        (Exit(code=None, stopped="needs-input", asked="which?"), "needs-input"),
        (Exit(code=0, asked="which?"), "needs-input"),
        (Exit(code=1, report="it says so", asked="which?"), "needs-input"),
        (Exit(code=None, stopped="over", asked="which?"), "needs-input"),
        (Exit(code=None, stopped="cancelled", asked="which?"), "cancelled"),
        (Exit(code=None, stopped="timeout", asked="which?"), "timeout"),
        (Exit(code=1, spent="run", asked="which?"), "over-budget"),
        (Exit(code=137, oom_killed=True, asked="which?"), "oom"),
    ],
)
def test_how_it_ended(seen: Exit, ended: Ended) -> None:
    assert how_it_ended(seen)[0] == ended


def test_an_agent_can_not_pass_its_failure_off_as_ours() -> None:
    """The exit code that means our own failure counts only before the agent was started."""
    assert how_it_ended(Exit(code=LAYOUT_FAILED, ready=True))[0] == "agent-error"


@pytest.mark.parametrize(
    ("ended", "work", "check", "expected"),
    [
        ("exited", "gathered", "passed", "accepted"),
        ("exited", "salvaged", "passed", "accepted"),
        ("exited", "gathered", "failed", "rejected"),
        ("exited", "gathered", "none", "done"),
        ("exited", "gathered", "not-run", "cancelled"),
        ("exited", "none", "not-run", "no-change"),
        ("exited", "none", "none", "no-change"),
        ("exited", "refused", "not-run", "refused"),
        ("timeout", "gathered", "passed", "timeout"),
        ("infrastructure", "none", "not-run", "infrastructure"),
    ],
)
def test_verdict(ended: Ended, work: Work, check: Check, expected: Verdict) -> None:
    assert verdict(ended, work, check) == expected


def test_every_verdict_is_reached_and_no_other() -> None:
    reached = {
        verdict(*facts) for facts in itertools.product(get_args(Ended), get_args(Work), get_args(Check))
    }
    assert reached | {"skipped"} == set(get_args(Verdict)), "which is no judgement on what was done"


def test_whoever_did_not_exit_never_gets_a_good_verdict() -> None:
    for facts in itertools.product(get_args(Ended), get_args(Work), get_args(Check)):
        if facts[0] != "exited":
            assert verdict(*facts) == facts[0]


@pytest.mark.parametrize("reached", get_args(Verdict))
def test_served(reached: Verdict) -> None:
    assert served(reached, may_be_empty=False) == (reached in {"accepted", "done"})
    assert served(reached, may_be_empty=True) == (reached in {"accepted", "done", "no-change"})


def test_the_docs_name_every_verdict() -> None:
    text = DOCS.read_text()
    assert [word for word in get_args(Verdict) if f"`{word}`" not in text] == []


def test_a_start_that_does_not_fit_is_the_disk_and_not_our_fault() -> None:
    """An earlier attempt's branch can be larger than what it took there: hard links come home as files."""
    ended, why = how_it_ended(Exit(code=LAYOUT_FAILED, ready=False, disk_full=True))
    assert (ended, why) == ("disk", "what it starts from does not fit on its disk")
    assert how_it_ended(Exit(code=LAYOUT_FAILED, ready=False))[0] == "infrastructure"
