"""What a person orders of a run on which nobody works: heeded at once, as far as nothing is begun for it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from runner.names import AttemptKey
from runner.supervisor import events as e
from runner.supervisor.graph import deciding
from runner.supervisor.journal import Journal
from runner.supervisor.morning.chosen import gathered
from runner.supervisor.ownership import orders
from runner.supervisor.ownership.heeding import heed
from runner.supervisor.ownership.lease import owned
from runner.tasks.plan import PlannedAttempt
from tests.unit.test_discarding import FIX, NEXT, Night, call


@pytest.fixture
def night(tmp_path: Path) -> Night:
    """A run that ended with `fix` rejected."""
    made = Night(tmp_path)
    made.begin(FIX)
    made.attempt("fix/p/1", "rejected")
    made.note(e.RunEnded(at=9, exit_code=1))
    return made


def test_a_choice_counts_at_once_in_every_view(night: Night) -> None:
    done = call(night.home, "decide", "r", "fix", "use", "fix")
    assert (done.exit_code, "resume" in done.output) == (0, False), done.output
    for command in ("status", "report"):
        assert "to decide" not in call(night.home, command).output
    (group,) = gathered(night.state)
    assert [str(one.key) for one in group.wanted] == ["fix/p/1"]
    assert (night.state.exit_code, night.state.ended) == (0, 9), "it ended when it did"
    assert call(night.home, "wait").exit_code == 0
    assert call(night.home, "resume").exit_code == 2, "nothing is left to do"


def test_the_last_of_several_words_counts(night: Night) -> None:
    for words in (["use", "fix"], ["skip"]):
        assert call(night.home, "decide", "r", "fix", *words).exit_code == 0
    row = json.loads(call(night.home, "status", "--json").output)
    assert (row["skipped"], row["attempts"][0]["chosen"], row["exit_code"]) == (["fix"], False, 0)


def test_a_skip_only_takes_a_choice_back_where_other_work_was_accepted(tmp_path: Path) -> None:
    night = Night(tmp_path)
    night.begin(FIX, PlannedAttempt(task="fix", profile="q"))
    night.attempt("fix/p/1", "rejected")
    accepted = night.attempt("fix/q/1")
    night.note(e.RunEnded(at=9, exit_code=0))
    call(night.home, "decide", "r", "fix", "use", "fix/p")
    assert "what was accepted of it counts" in call(night.home, "decide", "r", "fix", "skip").output
    (group,) = gathered(night.state)
    assert [one.commit for one in group.wanted] == [accepted]


def test_what_is_to_be_begun_waits_and_it_is_said_for_what(night: Night) -> None:
    done = call(night.home, "retry", "fix", "--json")
    assert json.loads(done.output)["heeded"] is True
    assert [one.phase for one in night.state.tries(AttemptKey("fix", "p"))] == ["final", "queued"]
    said = call(night.home, "status").output
    assert "to decide" not in said
    assert "`corral resume r` goes on" in said
    assert night.state.exit_code == 1, "it has yet to be done"


def test_what_needs_it_waits_too(tmp_path: Path) -> None:
    night = Night(tmp_path)
    night.begin(FIX, NEXT)
    night.attempt("fix/p/1", "rejected")
    night.note(e.RunEnded(at=9, exit_code=1))
    assert not deciding.left_to_do(night.state)
    done = call(night.home, "decide", "r", "fix", "skip")
    assert "`corral resume r` goes on" in done.output
    assert deciding.left_to_do(night.state)


def test_words_for_a_supervisor_wait_for_it(night: Night) -> None:
    use = orders.Decide(task="fix", what="use", attempt="fix/p/1")
    with Journal(night.home / "journal.db") as book:
        with owned(book, night.home, "r"):
            book.order("r", use, 10)
            assert heed(night.home, "r") is None, "who works on it heeds it"
        book.order("r", orders.Pause(), 11)
    assert heed(night.home, "r") is None
    assert night.state.used == ()
    done = call(night.home, "decide", "r", "fix", "skip")
    assert "`corral resume r` heeds this" in done.output
