"""Signals before a run begins end it at a safe place; then the run decides."""

from __future__ import annotations

import os
import signal

import pytest

from runner.interruptions import Interruptions

NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Run:
    """Notes how often it was interrupted, as a run does."""

    def __init__(self) -> None:
        self.heard: list[tuple[int, int]] = []

    def interrupt(self, exit_code: int, times: int = 1) -> None:
        self.heard.append((exit_code, times))


def test_before_a_run_a_signal_ends_at_the_next_safe_place() -> None:
    told: list[str] = []
    with Interruptions(NUMBERS) as open_:
        tell = open_.before(told.append)
        tell("one")
        os.kill(os.getpid(), signal.SIGTERM)
        told.append("what was being made is finished")
        with pytest.raises(SystemExit) as left:
            tell("two")
    assert left.value.code == 143
    assert told == ["one", "what was being made is finished"]


def test_what_was_heard_before_keeps_a_run_from_beginning() -> None:
    run = Run()
    with Interruptions(NUMBERS) as open_:
        os.kill(os.getpid(), signal.SIGHUP)
        with pytest.raises(SystemExit) as left:
            open_.hand_to(run)
    assert (left.value.code, run.heard) == (129, [])


def test_who_is_impatient_is_heard_at_once() -> None:
    with Interruptions(NUMBERS):
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(SystemExit) as left:
            os.kill(os.getpid(), signal.SIGINT)
    assert left.value.code == 130


def test_a_run_that_is_under_way_decides() -> None:
    run = Run()
    with Interruptions(NUMBERS) as open_:
        open_.hand_to(run)
        for number in (signal.SIGINT, signal.SIGTERM):
            os.kill(os.getpid(), number)
    assert run.heard == [(130, 1), (143, 2)]


def test_the_handlers_before_come_back() -> None:
    before = [signal.getsignal(number) for number in NUMBERS]
    with Interruptions(NUMBERS):
        assert [signal.getsignal(number) for number in NUMBERS] != before
    assert [signal.getsignal(number) for number in NUMBERS] == before
