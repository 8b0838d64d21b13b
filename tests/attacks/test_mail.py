"""Mail from hostile boxes: what they put into their outboxes, and what comes of it, however one looks."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.attacks import night as nights
from tests.attacks import oracle
from tests.attacks.night import Night
from tests.conftest import FULL, SEED
from tests.engine.conftest import prepared  # noqa: F401 - the same fixture serves here
from tests.support import CORRAL

CASES = ("links", "odd", "large", "many", "names", "bombs", "forged", "inbox", "swaps", "flood")
MANY = 1_000_000 if FULL else 40_000
WAYS = ("by-itself", "by-steward")
"""How outboxes are looked into: at small counts one way is drawn."""
VICTIM = "victim"
LIMITS = {"cpus": 1, "memory": "256MiB", "pids": 128, "time": "100s", "idle": "60s", "disk": "1GiB"}
LISTENS = """
echo '{"to": "inbox", "type": "note", "payload": "a letter"}' > $CORRAL_MAIL/out/1.json
while [ ! -e /tmp/over ] && [ $((n += 1)) -lt 350 ]; do
    sleep 0.1; ! grep -qs '"that is all"' $CORRAL_MAIL/in/*.json || touch /tmp/over
done
mkdir got; cp $CORRAL_MAIL/in/*.json got/
"""


def attacks() -> dict[str, Any]:
    """The attacks by task, and the one that all of them write to."""
    tasks: dict[str, Any] = {VICTIM: LISTENS}
    for case in CASES:
        sh = nights.script("letters.py", CASE=case, VICTIM=VICTIM, MANY=MANY)
        disk = f"{max(1, MANY * 16 // 1024 // 1024 + 1)}GiB"
        tasks[case] = {"sh": sh, "limits": {"disk": disk} if case == "many" else {}}
    for task in tasks.values():
        if isinstance(task, dict) and not task["limits"]:
            del task["limits"]
    return tasks


@pytest.fixture(scope="module", params=WAYS if FULL else [WAYS[SEED % 2]])
def night(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    prepared: None,  # noqa: ARG001, F811 - only that it was done
) -> Night:
    """One run of all of them, with a supervisor that sees the boxes' disks, and with one that does not."""
    blind = (sys.executable, "-m", "tests.attacks.without", "sight")
    program = tuple(CORRAL) if request.param == "by-itself" else blind
    stakes = nights.stakes(tmp_path_factory.mktemp("mail"))
    return nights.night(
        stakes,
        attacks(),
        program=program,
        jobs=len(CASES) + 1,
        after=lambda corral: {"corral inbox": corral("inbox", "--all").out},
        limits=LIMITS,
        mail={"wait": "1h"},
    )


def mail(night: Night, task: str) -> list[dict[str, Any]]:
    """What was read of a task's outbox."""
    return [event for event in night.events(task) if event["kind"] == "run.mail"]


def taken(night: Night, task: str) -> dict[str, Any]:
    """The payloads that were taken, by their files' names."""
    return {event["file"]: event["payload"] for event in mail(night, task) if not event["refused"]}


def refused(night: Night, task: str) -> dict[str, str]:
    """The reasons of what was refused, by the names of the files."""
    return {event["file"]: event["refused"] for event in mail(night, task) if event["refused"]}


def test_the_promises_hold(night: Night, promise: str) -> None:
    assert oracle.broken(promise, night.seen) == []


def test_links_are_not_followed(night: Night) -> None:
    assert taken(night, "links") == {"good.json": "hello", "twin.json": "hello"}
    assert set(refused(night, "links")) == {f"link{n}.json" for n in range(7)} | {"self.json", "hard.json"}
    assert all("not a plain file" in why for why in refused(night, "links").values())
    assert night.log("links").count("refused, ") == 2, night.log("links")


def test_pipes_sockets_and_directories_hold_nobody_up(night: Night) -> None:
    assert taken(night, "odd") == {"good.json": "hello"}
    assert set(refused(night, "odd")) == {"pipe.json", "folder.json", "socket.json"}
    assert "a device: refused" in night.log("odd")


def test_what_is_large_is_not_read(night: Night) -> None:
    assert {name: len(text) for name, text in taken(night, "large").items()} == {
        "fits.json": 16384 - len('{"to": "victim", "type": "note", "payload": ""}')
    }
    assert refused(night, "large") == {
        "sparse.json": "it holds more than 16384 bytes",
        "long.json": "it holds more than 16384 bytes",
    }


def test_of_files_without_number_a_bounded_part_is_looked_at(night: Night) -> None:
    assert "made them all" in night.log("many")
    assert len(mail(night, "many")) <= 52
    assert "more than 1000 files in the outbox" in refused(night, "many")["*files"]
    assert night.row("many")["verdict"] == "done"


def test_names_are_told_as_plain_text_and_never_used(night: Night) -> None:
    assert taken(night, "names") == {"good.json": "hello"}
    reasons = refused(night, "names")
    assert len(reasons) == 14
    assert set(reasons.values()) == {"a message's file is named like note-1.json"}
    assert all(name.isascii() and name.isprintable() for name in reasons)


def test_bombs_are_refused_one_by_one(night: Night) -> None:
    assert set(taken(night, "bombs")) == {"escapes.json"}
    assert len(refused(night, "bombs")) == 10


def test_nobody_speaks_in_anothers_name(night: Night) -> None:
    assert set(taken(night, "forged")) == {"1.json", "2.json", "7.json"}
    assert set(refused(night, "forged")) == {"3.json", "4.json", "5.json", "6.json"}
    for letter in letters(night):
        assert letter["from"] in CASES
        assert letter["to"] == VICTIM
        assert not letter["timestamp"].startswith("2099")
    assert {row["from"] for row in letters(night) if row["type"] == "answer"} == {"forged"}


def test_an_inbox_is_the_hosts_alone(night: Night) -> None:
    log = night.log("inbox")
    assert "DONE" not in log
    assert log.count("refused, ") == 13, log
    ((name,),) = taken(night, "inbox").values()
    assert int(name.removesuffix(".json")) > 0, "what was there before is all that is there"


def test_a_name_that_changes_all_the_time_is_a_message_or_refused(night: Night) -> None:
    assert set(taken(night, "swaps").values()) <= {"swapped"}
    assert len(mail(night, "swaps")) <= 9


def test_a_flood_is_taken_up_to_its_bound(night: Night) -> None:
    questions = [event for event in mail(night, "flood") if event["type"] == "question"]
    assert len(questions) == 10
    assert len(mail(night, "flood")) == 51
    assert "nothing more is read" in refused(night, "flood")["*sent"]
    assert night.row("flood")["verdict"] == "needs-input"


def letters(night: Night) -> list[dict[str, Any]]:
    """What the victim found in its inbox."""
    files = [name for name in night.files(VICTIM) if name.startswith("got/")]
    return [json.loads(night.content(VICTIM, name)) for name in files]


def test_what_arrives_is_what_was_taken_and_holds_no_secret(night: Night) -> None:
    sent = [
        event
        for case in CASES
        for event in mail(night, case)
        if not event["refused"] and event["to"] == VICTIM
    ]
    arrived = letters(night)
    assert sorted(json.dumps(row["payload"]) for row in arrived) == sorted(
        json.dumps(event["payload"]) for event in sent
    )
    ids = [row["id"] for row in arrived]
    assert len(set(ids)) == len(ids)
    shadow = Path("/etc/shadow").read_text().splitlines()[0]
    assert shadow not in json.dumps([event["payload"] for event in sent])
    assert "\x1b" not in night.seen.texts["corral inbox"]
