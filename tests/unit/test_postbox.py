"""The carrier of an attempt's mail, over real directories and the real fold; no supervisor is there."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from runner.names import AttemptKey
from runner.sandbox.disks import WatchedDirectories
from runner.sandbox.outbox import Outbox
from runner.sandbox.steward import Steward
from runner.supervisor import events as e
from runner.supervisor.attempt.postbox import MOST_FILES, Postbox, post_of
from runner.supervisor.deadline import steady
from runner.supervisor.post import delivery, message
from runner.supervisor.state import RunState, apply
from runner.tasks.plan import MailTerms
from tests.unit.makers import started
from tests.unit.test_mail import ITEMS, A, B, run_of, unfolding, wrote

BOX = "0" * 12


class Carried:
    """An attempt's postbox over directories below `home`; what it tells is folded at once."""

    def __init__(self, home: Path, *, wait: float = 0.0, state: RunState | None = None) -> None:
        self.home = home
        self.out = home / "w" / BOX / "agent" / "out"
        self.inbox = home / "w" / BOX / "mail"
        self.out.mkdir(parents=True, exist_ok=True)
        self.inbox.mkdir(parents=True, exist_ok=True)
        self.state = state or with_wait(run_of("a", "b", "c"), wait)
        self.events: list[e.RunMail] = []
        self.begin()

    def begin(self) -> None:
        """As a supervisor does that has just come."""
        disks = WatchedDirectories(cast("Steward", None), self.home)  # it is not asked for what can be seen
        outbox = Outbox(disks, cast("Steward", None), BOX)
        self.box = Postbox(A, post_of(A, lambda: (self.state.plan, self.state.mail)), outbox, self.inbox)

    def note(self, event: e.Event) -> None:
        """Fold one event in."""
        self.state = apply(self.state, event)

    def round(self, *, last: bool = False) -> list[e.RunMail]:
        """One look, whatever the time."""
        self.box._next_look = 0.0
        told = []
        for event in self.box.round(last=last):
            self.note(event)
            told.append(event)
        self.events += told
        return told

    def letters(self) -> dict[str, dict[str, Any]]:
        """What lies in the inbox."""
        return {file.name: json.loads(file.read_text()) for file in self.inbox.glob("*.json")}


def with_wait(state: RunState, wait: float) -> RunState:
    """The run, whose tasks wait so long for people."""
    tasks = tuple(task.model_copy(update={"mail": MailTerms(wait=wait)}) for task in state.plan.tasks)
    return started(state.plan.model_copy(update={"tasks": tasks}))


@pytest.fixture
def carried(tmp_path: Path) -> Carried:
    return Carried(tmp_path)


def test_a_message_is_told_once_and_stays_told_after_a_crash(carried: Carried) -> None:
    (carried.out / "x.json").write_bytes(wrote())
    (event,) = carried.round()
    assert (event.attempt, event.file, event.to, event.payload) == ("a/p/1", "x.json", "b", "hello")
    carried.begin()
    (carried.out / "x.json").write_bytes(wrote(payload="another under the same name"))
    assert carried.round() == []


def test_it_looks_no_more_often_than_it_should(carried: Carried) -> None:
    assert list(carried.box.round()) == []
    (carried.out / "x.json").write_bytes(wrote())
    assert list(carried.box.round()) == []
    assert len(list(carried.box.round(last=True))) == 1


def test_what_is_half_written_is_given_time(carried: Carried) -> None:
    (carried.out / "x.json").write_bytes(wrote()[:20])
    assert carried.round() == []
    (carried.out / "x.json").write_bytes(wrote()[:30])
    assert carried.round() == []
    (carried.out / "x.json").write_bytes(wrote())
    (event,) = carried.round()
    assert event.payload == "hello"
    (carried.out / "y.json").write_bytes(b"{")
    assert carried.round() == []
    (event,) = carried.round()
    assert "not JSON" in event.refused
    (carried.out / "z.json").write_bytes(b"{")
    (event,) = carried.round(last=True)
    assert "not JSON" in event.refused


def test_names_that_are_not_meant_are_left_alone(carried: Carried) -> None:
    for name in ("x.part", "x.json.part", ".x.json", ".nfs0001"):
        (carried.out / name).write_bytes(wrote())
    assert carried.round(last=True) == []


def test_an_outbox_that_is_too_full_is_read_when_there_is_room_again(carried: Carried) -> None:
    for number in range(MOST_FILES + 1):
        (carried.out / f"{number}.part").touch()
    (carried.out / "x.json").write_bytes(wrote())
    (event,) = carried.round()
    assert event.refused == "more than 1000 files in the outbox"
    assert carried.round() == []
    for file in carried.out.glob("*.part"):
        file.unlink()
    (event,) = carried.round()
    assert event.payload == "hello"


def test_an_attempt_has_a_number_of_messages_and_a_run_too(
    carried: Carried, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(60):
        (carried.out / f"{number:02}.json").write_bytes(wrote(to="nobody" if number % 2 else "b"))
    told = carried.round()
    assert len(told) == message.MOST_SENT + 1
    assert "an attempt (50): nothing more is read" in told[-1].refused
    assert carried.round() == []
    monkeypatch.setattr("runner.supervisor.post.delivery.MOST_IN_RUN", 10)
    other = Carried(carried.home / "other")
    for number in range(60):
        (other.out / f"{number:02}.json").write_bytes(wrote())
    assert len(other.round()) == 11
    assert "all the mail of this run" in other.events[-1].refused


def test_an_outbox_that_can_not_be_looked_into_is_said_and_looked_into_again(carried: Carried) -> None:
    (carried.out / "x.json").write_bytes(wrote())
    carried.round()
    carried.out.rename(carried.home / "away")
    assert carried.round(last=True) == []
    assert carried.box.unread
    (carried.home / "away").rename(carried.out)
    assert carried.round(last=True) == []
    assert not carried.box.unread


def test_letters_are_brought_whole_and_once(carried: Carried) -> None:
    carried.note(e.RunMail(at=5, attempt=str(B), file="x.json", to="a", type="note", payload=1))
    carried.round()
    assert set(carried.letters()) == {"0001.json"}
    assert carried.letters()["0001.json"]["from"] == "b"
    before = (carried.inbox / "0001.json").stat()
    carried.begin()
    carried.round()
    after = (carried.inbox / "0001.json").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    assert [file.name for file in carried.inbox.iterdir()] == ["0001.json"]


def test_a_box_that_lives_while_items_are_found_out_can_write_to_them(tmp_path: Path) -> None:
    carried = Carried(tmp_path, state=unfolding())
    (carried.out / "1.json").write_bytes(wrote(to="b"))
    (carried.out / "2.json").write_bytes(wrote(to="b.1"))
    assert [(event.to, bool(event.refused)) for event in carried.round()] == [("b", False), ("", True)]
    carried.note(ITEMS)
    (carried.out / "3.json").write_bytes(wrote(to="b.1"))
    assert [(event.to, event.refused) for event in carried.round()] == [("b.1", "")]
    heard = delivery.view(carried.state.plan, carried.state.mail, AttemptKey("b.1", "p")).letters
    assert [name for name, _ in heard] == ["0001.json", "0003.json"]


def test_a_full_host_delays_letters_and_loses_none(carried: Carried) -> None:
    carried.note(e.RunMail(at=5, attempt=str(B), file="x.json", to="a", type="note", payload=1))
    shutil.rmtree(carried.inbox)
    carried.round()
    carried.inbox.mkdir()
    carried.round()
    assert set(carried.letters()) == {"0001.json"}


def test_without_mail_nothing_is_done(tmp_path: Path) -> None:
    carried = Carried(tmp_path)
    carried.state = run_of("a", "b", off=("a",))
    carried.begin()
    (carried.out / "x.json").write_bytes(wrote())
    assert carried.round(last=True) == []
    assert carried.box.asking() is None
    assert carried.box.waited_since(0) == 0


# -- people


def ask(carried: Carried, text: str) -> None:
    (carried.out / f"{text}.json").write_bytes(wrote(to="person", type="question", payload=text))
    carried.round()


def test_by_default_nobody_is_waited_for(carried: Carried) -> None:
    assert carried.box.asking() is None
    ask(carried, "one")
    asking = carried.box.asking()
    assert asking is not None
    assert asking.until <= steady()
    assert asking.words == 'question 1 is not answered: "one"'


def test_patience_counts_from_the_first_open_question_also_after_a_crash(tmp_path: Path) -> None:
    carried = Carried(tmp_path, wait=100)
    began = steady()
    ask(carried, "one")
    ask(carried, "two")
    asking = carried.box.asking()
    assert asking is not None
    assert began + 100 <= asking.until <= steady() + 100
    carried.note(e.RunAnswer(at=time.time(), question=1, text="x"))
    carried.note(
        e.RunMail(
            at=time.time() - 60, attempt=str(A), file="l.json", to="person", type="question", payload="?"
        )
    )
    carried.begin()
    asking = carried.box.asking()
    assert asking is not None
    assert asking.until <= steady() + 41
    for number in (2, 4):
        carried.note(e.RunAnswer(at=time.time(), question=number, text="x"))
    assert carried.box.asking() is None


def test_a_clock_that_jumps_neither_ends_nor_prolongs_patience(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    carried = Carried(tmp_path, wait=100)
    ask(carried, "one")
    first = carried.box.asking()
    real = time.time
    for jump in (6 * 3600, -6 * 3600):
        monkeypatch.setattr(time, "time", lambda jump=jump: real() + jump)
        assert carried.box.asking() == first


def test_more_questions_than_a_person_can_bear_are_refused(tmp_path: Path) -> None:
    carried = Carried(tmp_path, wait=100)
    for number in range(message.MOST_QUESTIONS):
        ask(carried, f"q{number}")
    ask(carried, "one-more")
    assert "may ask a person 10 times" in carried.events[-1].refused
    assert len(carried.state.mail.open_questions()) == 10


# -- at any instant


class Lives(RuleBasedStateMachine):
    """A box that writes, a supervisor that looks, dies and comes back at any instant, and a person."""

    sent = Bundle("sent")

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="corral-postbox-"))
        self.carried = Carried(self.folder, wait=100)
        self.wrote: dict[str, bytes] = {}
        self.number = 0

    @rule(
        target=sent,
        to=st.sampled_from(["b", "all", "person", "nobody"]),
        kind=st.sampled_from(["note", "question"]),
    )
    def writes(self, to: str, kind: str) -> str:
        self.number += 1
        name = f"m{self.number}.json"
        self.wrote[name] = wrote(to=to, type=kind, payload=f"text {self.number}")
        (self.carried.out / f"{name}.part").write_bytes(self.wrote[name])
        (self.carried.out / f"{name}.part").rename(self.carried.out / name)
        return name

    @rule(name=sent)
    def writes_again(self, name: str) -> None:
        (self.carried.out / name).write_bytes(wrote(payload="under an old name"))

    @rule(name=sent)
    def removes(self, name: str) -> None:
        (self.carried.out / name).unlink(missing_ok=True)

    @rule(stops_after=st.integers(0, 3))
    def looks_and_dies(self, stops_after: int) -> None:
        """It dies behind some event that it told: that was noted."""
        self.carried.box._next_look = 0.0
        told: Iterator[e.RunMail] = self.carried.box.round()
        for _, event in zip(range(stops_after), told, strict=False):
            self.carried.note(event)
            self.carried.events.append(event)
        self.carried.begin()

    @rule()
    def looks(self) -> None:
        self.carried.round()

    @rule()
    def another_writes(self) -> None:
        self.number += 1
        file = f"b{self.number}.json"
        self.carried.note(
            e.RunMail(at=9, attempt=str(B), file=file, to="a", type="note", payload=self.number)
        )

    @rule()
    def a_person_answers(self) -> None:
        for question in self.carried.state.mail.open_questions()[:1]:
            self.carried.note(e.RunAnswer(at=time.time(), question=question.id, text="so"))

    @invariant()
    def each_message_is_told_once(self) -> None:
        told = [event.file for event in self.carried.events]
        assert len(told) == len(set(told))

    @invariant()
    def numbers_are_whole_and_each_is_used_once(self) -> None:
        mail = self.carried.state.mail
        numbers = sorted([one.id for one in mail.messages] + [one.id for one in mail.answers])
        assert numbers == list(range(1, len(numbers) + 1))

    def teardown(self) -> None:
        self.carried.round(last=True)
        mail = self.carried.state.mail
        due = {
            one.id
            for one in mail.messages
            if (one.sender == B and not one.refused) or (one.sender == A and one.refused)
        } | {answer.id for answer in mail.answers}
        self.carried.box.bring()
        assert {letter["id"] for letter in self.carried.letters().values()} == due
        there = {file.name for file in self.carried.out.glob("*.json")}
        assert there <= {event.file for event in self.carried.events}
        shutil.rmtree(self.folder)


TestLives = Lives.TestCase
TestLives.settings = settings(settings.get_profile("small"), stateful_step_count=30)
