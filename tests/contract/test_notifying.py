"""People are told by real services on this host, and nothing that a service does spoils a night."""

from __future__ import annotations

import email
import email.policy
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from runner.accounts import FromCommand, FromEnvironment, FromFile
from runner.recipients import Quiet, Recipient
from runner.supervisor import events as e
from runner.supervisor.deadline import Clocks
from runner.supervisor.journal import Row
from runner.supervisor.people import trying
from runner.supervisor.people.courier import Courier, Message
from runner.supervisor.people.flag import NAME
from runner.supervisor.people.herald import Herald
from runner.supervisor.people.outbox import GAP, TOGETHER
from runner.supervisor.state import RunState, apply
from runner.tasks.plan import PlannedAttempt
from tests.contract.listeners import Listener, Mailbox, http, mail
from tests.unit.makers import life, make_plan, started

SECRET = "canary-0123456789"  # noqa: S105 - it has to be found nowhere
WORDS = Message("Corral, run night: a test", "One thing.\nAnd <b>another</b> one.")
PLAN = make_plan(PlannedAttempt(task="one", profile="p"), PlannedAttempt(task="two", profile="p"))
NOON = time.mktime((2026, 11, 26, 12, 0, 0, 0, 0, -1))
ENVIRONMENT = dict(os.environ)


@pytest.fixture
def service() -> Iterator[Listener]:
    with http() as made:
        yield made


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    with mail() as made:
        yield made


def by_file(folder: Path, url: str, name: str = "phone", quiet: Quiet | None = None) -> Recipient:
    """A recipient whose URL stands in a file."""
    file = folder / name
    file.write_text(url + "\n")
    file.chmod(0o600)
    return Recipient(name=name, source=FromFile(path=str(file)), quiet=quiet)


def at(service: Listener) -> str:
    """The URL of a service, a secret in it."""
    return f"json://127.0.0.1:{service.port}/{SECRET}"


# -- one message


def test_a_message_reaches_a_service_over_http(tmp_path: Path, service: Listener) -> None:
    assert Courier(ENVIRONMENT).deliver(by_file(tmp_path, at(service)), WORDS) == ""
    ((path, body),) = service.came
    assert path == f"/{SECRET}"
    assert (body["title"], body["message"], body["type"]) == (WORDS.title, WORDS.body, "info")


def test_a_message_reaches_a_mailbox(tmp_path: Path, mailbox: Mailbox) -> None:
    url = f"mailto://127.0.0.1:{mailbox.port}?from=corral@example.org&to=me@example.org&mode=insecure"
    assert Courier(ENVIRONMENT).deliver(by_file(tmp_path, url), WORDS) == ""
    (letter,) = mailbox.letters
    assert letter.rcpt_tos == ["me@example.org"]
    assert isinstance(letter.content, bytes)
    read = email.message_from_bytes(letter.content, policy=email.policy.default)
    assert read["Subject"] == WORDS.title
    text = read.get_body(("plain", "html"))
    assert text is not None
    assert "another" in text.get_content()
    if text.get_content_type() == "text/html":
        assert "<b>another" not in text.get_content(), "text stays text"


def test_the_url_comes_from_a_program_or_the_environment_too(tmp_path: Path, service: Listener) -> None:
    file = tmp_path / "url"
    file.write_text(at(service))
    by_program = Recipient(name="a", source=FromCommand(run=("cat", str(file))))
    by_variable = Recipient(name="b", source=FromEnvironment(name="X"), secret=SecretStr(at(service)))
    unset = Recipient(name="c", source=FromEnvironment(name="X"))
    problems = trying.send((by_program, by_variable, unset), ENVIRONMENT)
    assert problems == {"a": "", "b": "", "c": "X is not set"}
    assert len(service.came) == 2


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        (SECRET, "what was read is no URL, like json://host/path"),
        (f"{SECRET.replace('-', '')}://x", "no service is known that has such a URL"),
        (f"slack://{SECRET}", "the URL is not complete for slack://, or that can't be used on this host"),
        (f"json://127.0.0.1:1/{SECRET}", "the service can't be reached"),
        ("two words", "{file} gives more than one word"),
        ("", "{file} gives nothing"),
    ],
)
def test_what_can_not_be_sent_says_why_and_nothing_of_the_url(tmp_path: Path, url: str, problem: str) -> None:
    phone = by_file(tmp_path, url)
    said = Courier(ENVIRONMENT).deliver(phone, WORDS)
    assert said == problem.format(file=tmp_path / "phone")
    assert SECRET not in said


@pytest.mark.parametrize("status", [401, 404, 500])
def test_a_service_that_refuses_is_told_with_its_status(
    tmp_path: Path, service: Listener, status: int
) -> None:
    service.status = status
    said = Courier(ENVIRONMENT).deliver(by_file(tmp_path, at(service)), WORDS)
    assert said == f"the service refused it with status {status}"


def test_the_desktop_gets_it_by_its_own_program(tmp_path: Path) -> None:
    """A STAND-IN for notify-send, since no desktop is here: what it is called with is what counts."""
    program = tmp_path / "notify-send"
    program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {tmp_path}/shown\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    desk = Recipient(name="desk")
    environment = {**ENVIRONMENT, "PATH": f"{tmp_path}:{ENVIRONMENT['PATH']}"}
    assert Courier(environment).deliver(desk, WORDS) == ""
    shown = (tmp_path / "shown").read_text().splitlines()
    assert shown == ["--app-name=Corral", "--urgency=normal", "--", WORDS.title, *WORDS.body.splitlines()]
    program.write_text("#!/bin/sh\nexit 1\n")
    assert "no desktop listens" in Courier(environment).deliver(desk, WORDS)
    assert "libnotify" in Courier({**ENVIRONMENT, "PATH": "/nowhere"}).deliver(desk, WORDS)


def test_the_doctor_looks_at_each_and_sends_nothing(tmp_path: Path, service: Listener) -> None:
    open_to_all = by_file(tmp_path, at(service), "open", Quiet(begin=0, end=60))
    (tmp_path / "open").chmod(0o644)
    fine, wrong = by_file(tmp_path, at(service)), by_file(tmp_path, SECRET, "wrong")
    found = trying.examine((fine, wrong, open_to_all), ENVIRONMENT)
    assert [one.level for one in found] == ["ok", "weaker", "weaker"]
    assert found[0].found == f"told by the URL from the file {tmp_path}/phone"
    assert "not from 00:00-01:00; others on this host may read that file" in found[2].found
    assert SECRET not in str(found)
    assert service.came == []


# -- a night


class Night:
    """What a supervisor does with a herald: notes what happens, and what the herald tells."""

    def __init__(self, herald: Herald) -> None:
        self.herald = herald
        self.state: RunState = started(PLAN)
        self.rows = [Row(1, "r", e.RunStarted(at=1, plan=PLAN, jobs=2))]
        self.told: list[e.Notified] = []

    def note(self, *events: e.Event) -> None:
        """Note what happened."""
        for event in events:
            self.rows.append(Row(len(self.rows) + 1, "r", event))
            self.state = apply(self.state, event)
            self.herald.heed(event, self.state)
            if isinstance(event, e.Notified):
                self.told.append(event)

    def turn(self) -> None:
        """One turn of the loop."""
        self.note(*self.herald.news(self.state, {}))

    def until_told(self, number: int) -> None:
        """Turn until so much was told, or could not be."""
        until = time.monotonic() + 120
        while len(self.told) < number:
            self.turn()
            assert time.monotonic() < until, self.told
            time.sleep(0.02)


class Wall:
    """The clocks of a host on which time passes as a test wants."""

    def __init__(self, wall: float = NOON) -> None:
        self.now = wall

    @property
    def clocks(self) -> Clocks:
        return Clocks(lambda: self.now, lambda: self.now)


def test_what_needs_a_person_is_told_once_also_after_a_crash(tmp_path: Path, service: Listener) -> None:
    phone = by_file(tmp_path, at(service))
    night = Night(Herald((phone,), ENVIRONMENT, tmp_path))
    night.note(*life("one/p/1", "rejected"))
    night.until_told(1)
    assert service.until(1)[0]["title"] == "Corral, run r: task one was not served: rejected"
    assert (
        (tmp_path / NAME).read_text().startswith("r: task one was not served: rejected (corral show one/p/1")
    )
    untold = life("two/p/1", "timeout")
    night.rows += [Row(100 + n, "r", event) for n, event in enumerate(untold)]  # noted, and then it crashed
    (tmp_path / NAME).unlink()

    later = Night(Herald((phone,), ENVIRONMENT, tmp_path))
    for row in night.rows[1:]:
        later.state = apply(later.state, row.event)
    later.herald.catch_up(night.rows, later.state)
    assert len((tmp_path / NAME).read_text().splitlines()) == 2
    later.until_told(1)
    later.turn()
    assert [body["title"].split(": ", 1)[1] for body in service.until(2)] == [
        "task one was not served: rejected",
        "task two was not served: timeout",
    ]
    assert later.told[0].causes == ("attention:two/p/1",)


def test_a_service_that_never_answers_holds_nothing_up(tmp_path: Path, service: Listener) -> None:
    """The night goes on, the other one is told, and at the end it is said that this one was not."""
    service.hanging.set()
    with http() as other:
        phone, chat = by_file(tmp_path, at(service)), by_file(tmp_path, at(other), "chat")
        night = Night(Herald((phone, chat), ENVIRONMENT))
        night.note(*life("one/p/1", "rejected"))
        night.until_told(2)
        assert {one.recipient for one in night.told if not one.failed} == {"chat"}
        assert {one.recipient for one in night.told if one.failed} == {"phone"}
        night.note(*night.herald.farewell(night.state, 1, lambda: False))
        assert list(night.state.untold) == ["phone"]
        assert SECRET not in str(night.told)
        assert other.until(2)[1]["title"] == "Corral, run r: 0 of 2 tasks served"


def test_a_service_that_comes_back_is_told_what_it_missed(tmp_path: Path, service: Listener) -> None:
    wall = Wall()
    service.status = 503
    night = Night(Herald((by_file(tmp_path, at(service)),), ENVIRONMENT, clocks=wall.clocks))
    night.note(*life("one/p/1", "rejected"))
    wall.now += TOGETHER
    night.until_told(1)
    assert night.state.untold == {"phone": "the service refused it with status 503"}
    service.status = 200
    night.turn()
    assert len(service.came) == 1, "not again at once"
    wall.now += GAP
    night.until_told(2)
    assert night.state.untold == {}
    assert night.told[-1].causes == ("attention:one/p/1",)


def test_in_quiet_hours_only_what_is_urgent_is_told_and_the_rest_at_their_end(
    tmp_path: Path, service: Listener
) -> None:
    wall = Wall(NOON + 10 * 3600)
    phone = by_file(tmp_path, at(service), quiet=Quiet(begin=22 * 60, end=7 * 60))
    night = Night(Herald((phone,), ENVIRONMENT, clocks=wall.clocks))
    night.note(*life("one/p/1", "rejected"), *life("two/p/1", "timeout"))
    for _ in range(8):
        night.turn()
        wall.now += 3600
    assert service.came == []
    wall.now += 3600
    night.until_told(1)
    (digest,) = service.until(1)
    assert digest["title"] == "Corral, run r: 2 things to know"
    assert digest["message"].splitlines() == [
        "- task one was not served: rejected",
        "- task two was not served: timeout",
    ]
    wall.now += 15.5 * 3600
    key = {"at": 1, "attempt": "one/p/1", "stage": "running", "held": "no key", "held_kind": "credential"}
    night.note(e.Signs.model_validate(key))
    night.until_told(2)
    assert service.until(2)[1]["type"] == "warning"


def test_the_end_in_quiet_hours_tells_all_that_was_held_back(tmp_path: Path, service: Listener) -> None:
    wall = Wall(NOON + 12 * 3600)
    phone = by_file(tmp_path, at(service), quiet=Quiet(begin=22 * 60, end=7 * 60))
    night = Night(Herald((phone,), ENVIRONMENT, clocks=wall.clocks))
    night.note(*life("one/p/1", "rejected"))
    night.turn()
    assert service.came == []
    night.note(*night.herald.farewell(night.state, 1, lambda: False))
    (last,) = service.until(1)
    assert last["title"] == "Corral, run r: 0 of 2 tasks served"
    assert "Needs a decision: one (rejected)" in last["message"].splitlines()
    assert night.told[0].causes[0] == "attention:one/p/1"


def test_who_does_not_want_to_wait_at_the_end_need_not(tmp_path: Path, service: Listener) -> None:
    service.hanging.set()
    night = Night(Herald((by_file(tmp_path, at(service)),), ENVIRONMENT))
    turns = iter([False, False, True])
    night.note(*night.herald.farewell(night.state, 1, lambda: next(turns)))
    assert "in time" in night.state.untold["phone"]


def test_nobody_is_told_by_default() -> None:
    night = Night(Herald())
    night.note(*life("one/p/1", "rejected"))
    night.turn()
    assert list(night.herald.farewell(night.state, 1, lambda: False)) == []
