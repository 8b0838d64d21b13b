"""Real boxes that write to each other and ask a person."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from runner.sandbox.engine import Engine
from tests.engine.living import Live, living
from tests.support import Corral, git, write_tasks

TOOLS = """
in=$CORRAL_MAIL/in out=$CORRAL_MAIL/out
send() { echo "$2" > $out/$1.part && mv $out/$1.part $out/$1.json; }
await() { until grep -qs "$1" $in/*.json; do sleep 0.1; done; }
ask() { send "$1" '{"to": "person", "type": "question", "payload": "'"$2"'"}'; }
"""


def tasks(**scripts: Any) -> dict[str, Any]:
    """Tasks whose scripts know how to send and to wait for mail."""
    return {
        name: {**given, "sh": TOOLS + given["sh"]} if isinstance(given, dict) else TOOLS + given
        for name, given in scripts.items()
    }


def letters(repo: Path, row: dict[str, Any], name: str = "got") -> list[dict[str, Any]]:
    """The letters that an attempt copied into a file of its work, one a line."""
    text = git(repo, "cat-file", "blob", f"{row['branch']}:{name}")
    decoder, found, at = json.JSONDecoder(), [], 0
    while at < len(text):
        letter, end = decoder.raw_decode(text, at)
        found.append(letter)
        at = end + len(text[end:]) - len(text[end:].lstrip())
    return found


def test_two_tasks_talk_and_who_sent_what_is_not_the_senders_to_say(corral: Corral, repo: Path) -> None:
    done = corral.run(
        repo,
        tasks(
            ping="""send 1 '{"to": "pong", "type": "note", "payload": {"n": 1}, "from": "person", "id": 99}'
            await '"n": 2'; cat $in/*.json > got""",
            pong="""await '"n": 1'; send 1 '{"to": "ping", "type": "note", "payload": {"n": 2}}'
            cat $in/*.json > got""",
            other="""await never & sleep 4; ls $in > got; echo done >> got""",
        ),
        "--jobs",
        "3",
        mail=True,
    )
    assert done.code == 0, done.err
    (ping,) = letters(repo, done.attempt("ping"))
    (pong,) = letters(repo, done.attempt("pong"))
    assert (pong["from"], pong["to"], pong["type"], pong["payload"]) == ("ping", "pong", "note", {"n": 1})
    assert (ping["from"], ping["payload"], pong["id"], ping["id"]) == ("pong", {"n": 2}, 1, 2)
    assert git(repo, "cat-file", "blob", f"{done.attempt('other')['branch']}:got") == "done"
    events = [event for event in done.events if event["kind"] == "run.mail"]
    assert [(event["attempt"], event["to"]) for event in events] == [
        ("ping/do-ping/1", "pong"),
        ("pong/do-pong/1", "ping"),
    ]
    listed = corral("inbox", "--all", "--json").json["messages"]
    assert [(row["id"], row["to"], row["type"]) for row in listed] == [
        (1, "pong", "note"),
        (2, "ping", "note"),
    ]
    assert corral("inbox").out == f"nothing for you in the run {done.summary['run']}\n"


def test_a_box_that_lives_talks_with_items_that_are_found_out_meanwhile(corral: Corral, repo: Path) -> None:
    done = corral.run(
        repo,
        tasks(
            first="""send 1 '{"to": "many", "type": "note", "payload": "to all"}'; await 'from one'
            send 2 '{"to": "many.1", "type": "note", "payload": "to one"}'; await 'done'
            cat $in/*.json > got""",
            many={
                "sh": """await 'to all'; test "$CORRAL_ITEM" = x || { cat $in/*.json > got; exit; }
                send 1 '{"to": "first", "type": "note", "payload": "from one"}'; await 'to one'
                send 2 '{"to": "first", "type": "note", "payload": "done"}'; cat $in/*.json > got""",
                "prompt": "{item}",
                "for_each": {"command": "sleep 3; echo x; echo y"},
            },
        ),
        "--jobs",
        "3",
        mail=True,
    )
    assert done.code == 0, done.err
    kinds = [event["kind"] for event in done.events]
    assert kinds.index("run.mail") < kinds.index("task.expanded")
    rows = done.summary["attempts"]
    got = {row["task"]: [letter["payload"] for letter in letters(repo, row)] for row in rows}
    assert got == {"first": ["from one", "done"], "many.1": ["to all", "to one"], "many.2": ["to all"]}


def test_a_task_that_starts_later_finds_what_was_sent_before(corral: Corral, repo: Path) -> None:
    late = {"sh": "cat $in/*.json > got", "needs": ["early"]}
    early = """send 1 '{"to": "all", "type": "note", "payload": "early"}'; touch made"""
    done = corral.run(repo, tasks(early=early, late=late), mail=True)
    assert done.code == 0, done.err
    (letter,) = letters(repo, done.attempt("late"))
    assert (letter["from"], letter["payload"]) == ("early", "early"), "sent in the last moment of its box"


def test_without_mail_there_is_none(corral: Corral, repo: Path) -> None:
    quiet = {
        "sh": 'test -z "$CORRAL_MAIL" && test ! -e /run/corral/mail && echo "$CORRAL_PROMPT" > got',
        "mail": False,
    }
    loud = """send 1 '{"to": "quiet", "type": "note", "payload": 1}'; await refused; cat $in/*.json > got
    grep -q '# Mail' $CORRAL_PROMPT_FILE"""
    done = corral.run(repo, tasks(quiet={**quiet, "prompt": "do it"}, loud=loud), mail=True)
    assert done.code == 0, done.err
    assert git(repo, "cat-file", "blob", f"{done.attempt('quiet')['branch']}:got") == "do it"
    (letter,) = letters(repo, done.attempt("loud"))
    assert (letter["from"], letter["type"]) == ("corral", "refused")
    assert letter["payload"]["file"] == "1.json"
    assert "no other task that takes mail is called 'quiet'" in letter["payload"]["reason"]


def test_who_asks_ends_at_once_by_default_and_the_work_is_kept(corral: Corral, repo: Path) -> None:
    asks = {"sh": "echo half > made; ask q 'tabs or spaces?'; sleep 60; touch late", "check": "test -f made"}
    done = corral.run(repo, tasks(asks=asks), mail=True)
    row = done.attempt("asks")
    assert (done.code, row["verdict"], row["work"], row["check"]) == (1, "needs-input", "gathered", "passed")
    assert row["reason"] == 'question 1 is not answered: "tabs or spaces?"'
    assert git(repo, "cat-file", "blob", f"{row['branch']}:made") == "half"
    assert git(repo, "diff", "--name-only", "main", row["branch"]) == "made"
    (question,) = done.summary["questions"]
    assert (question["payload"], question["standing"]) == ("tabs or spaces?", "open")


@pytest.mark.parametrize("code", [0, 3])
def test_who_asks_and_ends_by_itself_needs_input_too(corral: Corral, repo: Path, code: int) -> None:
    asks = f"touch made; ask q 'which?'; exit {code}"
    row = corral.run(repo, tasks(asks=asks), mail={"wait": "1h"}).attempt("asks")
    assert (row["verdict"], row["work"]) == ("needs-input", "gathered")
    assert row["reason"] == 'question 1 is not answered: "which?"'


def answered(corral: Corral, run: Live, text: str, number: int = 1) -> None:
    """Answer a question of a run once it was asked."""
    run.until("run.mail")
    done = corral("inbox", "answer", str(number), text)
    assert done.code == 0, done.err


def test_an_answer_reaches_the_box_that_waits_and_waiting_is_no_working_time(
    corral: Corral, repo: Path
) -> None:
    limits = {"cpus": 1, "memory": "256MiB", "time": "8s", "idle": "4s"}
    asks = {"sh": "ask q 'which?'; await '\"answer\"'; cat $in/*.json > got", "limits": limits}
    file = write_tasks(repo.parent / "t.yaml", repo, tasks(asks=asks), mail={"wait": "10min"})
    with living(corral, "run", file) as run:
        run.until("run.mail")
        (row,) = corral("inbox", "--json").json["messages"]
        assert (row["id"], row["standing"], row["payload"]) == (1, "waits", "which?")
        assert "1 question for you" in corral("status").out
        assert "which?" in corral("inbox").out
        time.sleep(12)  # longer than both of its limits
        answered(corral, run, "that\none")
        assert run.end() == 0
    got = run.rows()["asks"]
    (letter,) = letters(repo, got)
    assert (letter["from"], letter["to"], letter["type"]) == ("person", "asks", "answer")
    assert letter["payload"] == {"file": "q.json", "question": "which?", "answer": "that\none"}
    assert got["held_s"] > 8
    assert got["seconds"] < 8
    assert "answered:\nthat\none\n" in corral("inbox", "show", "1").out
    again = corral("inbox", "answer", "1", "no")
    assert (again.code, "question 1 is answered already" in again.err) == (2, True)


def test_patience_ends(corral: Corral, repo: Path) -> None:
    asks = "touch made; ask q 'which?'; sleep 60"
    row = corral.run(repo, tasks(asks=asks), mail={"wait": "3s"}).attempt("asks")
    assert (row["verdict"], row["work"]) == ("needs-input", "gathered")
    assert row["held_s"] >= 2


def test_a_killed_supervisor_neither_loses_mail_nor_takes_it_twice(corral: Corral, repo: Path) -> None:
    asks = "ask q1 'first?'; await first; ask q2 'second?'; await '\"two\"'; cat $in/*.json > got"
    hears = "await hello; cat $in/*.json > got"
    tells = """send 1 '{"to": "hears", "type": "note", "payload": "hello"}'; await never"""
    file = write_tasks(
        repo.parent / "t.yaml",
        repo,
        tasks(
            asks=asks, tells={"sh": tells, "limits": {"time": "20s"}}, hears={"sh": hears, "needs": ["asks"]}
        ),
        mail={"wait": "10min"},
    )
    with living(corral, "run", file, "--jobs", "2") as run:
        run.until("run.mail", 2)
        run.kill()
    first = next(row for row in corral("inbox", "--json").json["messages"] if row["payload"] == "first?")
    assert corral("inbox", "answer", str(first["id"]), "one (first)").code == 0
    (row,) = corral("inbox", "--json").json["messages"]
    assert row["standing"] == "given"
    twice = corral("inbox", "answer", str(first["id"]), "no")
    assert (twice.code, "answered already" in twice.err) == (2, True)
    with living(corral, "resume", "--jobs", "2") as resumed:
        resumed.until("run.mail")
        assert resumed.events[-1]["payload"] == "second?"
        number = corral("inbox", "--json").json["messages"][-1]["id"]
        assert corral("inbox", "answer", str(number), "two").code == 0
        assert resumed.end() == 1
    rows = resumed.rows()
    assert {task: row["verdict"] for task, row in rows.items()} == {
        "asks": "done",
        "tells": "timeout",
        "hears": "done",
    }
    answers = [letter["payload"]["answer"] for letter in letters(repo, rows["asks"])]
    assert answers == ["one (first)", "two"]
    assert [letter["payload"] for letter in letters(repo, rows["hears"])] == ["hello"]
    assert resumed.count("run.mail") == 1


def test_a_later_try_is_told_what_was_answered(corral: Corral, repo: Path) -> None:
    """The box of the first try is lost after it had its answer; the second one begins with it."""
    begins = "if grep -q '^# Answered' $CORRAL_PROMPT_FILE; then cp $CORRAL_PROMPT_FILE got; exit; fi"
    asks = {"sh": f"{begins}; ask q 'which?'; await '\"answer\"'; echo heard; sleep 60", "prompt": "Do it."}
    file = write_tasks(repo.parent / "t.yaml", repo, tasks(asks=asks), mail={"wait": "10min"})
    with living(corral, "run", file) as run:
        answered(corral, run, "that one")
        run.until_said("heard")
        with Engine(corral.environment) as engine:
            engine.remove(run.boxes()["asks/do-asks/1"])
        assert run.end() == 0
    row = run.rows()["asks"]
    assert (row["verdict"], row["try"]) == ("done", 2)
    prompt = git(repo, "cat-file", "blob", f"{row['branch']}:got")
    assert prompt.startswith("Do it.\n\n")
    assert "\n# Mail\n" in prompt
    assert 'You asked: "which?"\nThe person answered: "that one"' in prompt


def test_in_the_morning_an_answer_and_another_try_go_together(corral: Corral, repo: Path) -> None:
    """Nobody was there at night: the question ended the first try, and the second has its answer."""
    asks = (
        "if grep -q spaces $CORRAL_PROMPT_FILE; then cp $CORRAL_PROMPT_FILE got; exit; fi; "
        "echo half > made; ask q 'tabs or what?'; sleep 60"
    )
    done = corral.run(repo, tasks(asks={"sh": asks, "prompt": "Do it."}), mail=True)
    assert (done.code, done.verdicts) == (1, {"asks": "needs-input"})
    assert corral("inbox", "answer", "1", "spaces").code == 0
    assert corral("retry", "asks").code == 0
    again = corral("resume", "--json")
    assert again.code == 0, again.err
    row = again.attempt("asks")
    assert (row["verdict"], row["try"]) == ("done", 2)
    prompt = git(repo, "cat-file", "blob", f"{row['branch']}:got")
    assert 'You asked: "tabs or what?"\nThe person answered: "spaces"' in prompt
    assert git(repo, "cat-file", "blob", f"{row['branch']}:made") == "half", "it goes on from the work"
    assert again.summary["questions"] == [], "nothing waits for an answer"


def test_bad_words_of_a_person(corral: Corral, repo: Path) -> None:
    none = corral("inbox")
    assert (none.code, "there is no run yet" in none.err) == (2, True)
    corral.run(repo, tasks(a="ask q 'which?'; touch made"), mail=True)
    for words, said in (
        (("answer", "9", "x"), "has no message 9"),
        (("answer", "1", " "), "an empty answer"),
        (("answer", "1", "x" * 20000), "at most 16384 bytes"),
        (("show", "9"), "has no message 9"),
        (("answer", "1", "x", "--run", "nothing"), "no run is called 'nothing'"),
    ):
        done = corral("inbox", *words)
        assert (done.code, said in done.err) == (2, True), done.err
