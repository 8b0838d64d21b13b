"""Tried again with real boxes: what the next try is told, what it begins with, and what a person decides."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from runner.sandbox.engine import Engine
from tests.engine.living import living
from tests.support import Corral, Done, git, host_git_hashes, write_tasks

# Looks for the answer in what it was told, and counts its tries in a file and in its HOME.
TELLS = """
echo try >> tries; echo note >> "$HOME/notes"
sed -n 's/^the answer is //p' "$CORRAL_PROMPT_FILE" > answer
wc -l < "$HOME/notes" > notes; mkdir -p "$HOME/.cache"; echo x > ignored.log
cp "$CORRAL_PROMPT_FILE" told
"""
CHECK = r"printf 'the answer is 42\n\033[31mred\033[0m\n'; grep -q 42 answer"
TASK = {"sh": TELLS, "check": CHECK, "prompt": "Write the answer down."}
ONE = {"pause": "1s"}


def tries(done: Done, task: str) -> list[dict[str, Any]]:
    return [row for row in done.summary["attempts"] if row["task"] == task]


def text(row: dict[str, Any], name: str) -> str:
    return git(Path(row["repo"]), "cat-file", "blob", f"{row['branch']}:{name}")


def test_a_failed_check_is_told_and_the_next_try_goes_on_from_the_work(corral: Corral, repo: Path) -> None:
    (repo / ".gitignore").write_text("*.log\n")
    git(repo, "add", ".")
    git(repo, "commit", "-qm", "ignore")
    before = host_git_hashes(repo)
    done = corral.run(repo, {"t": TASK})
    assert done.code == 0, done.err
    first, second = tries(done, "t")
    assert [(row["try"], row["verdict"]) for row in (first, second)] == [(1, "rejected"), (2, "accepted")]
    assert (first["branch"][-2:], second["branch"][-4:]) == ("/1", "/1.2")
    assert text(second, "answer") == "42"
    assert text(second, "tries").split() == ["try", "try"], "its files were there"
    assert text(second, "notes") == "2", "and its HOME"
    told = text(second, "told")
    assert told.startswith("Write the answer down.\n\nAn earlier try at this task did not pass its check")
    assert "\x1b" not in told
    assert second["base"] == first["base"], "the whole work is what is compared"
    assert git(repo, "merge-base", "--is-ancestor", first["commit"], second["commit"]) == ""
    assert second["retry"] == {
        "of": "t/do-t/1", "why": "feedback", "not_before": None, "told": "t/do-t/1", "base": first["base"],
        "on": first["commit"], "session": None, "home": "t/do-t/1", "memory": None, "note": "",
    }  # fmt: skip
    assert list(corral.home.rglob("*.home.tar.gz*")) == [], "nobody needs it any more"
    assert host_git_hashes(repo) == before
    assert "told what went wrong" in corral("show", "t").out
    assert corral("show", "t/do-t/1.1").out.count("rejected") >= 1


@pytest.mark.parametrize("history", ["shallow", "none"])
def test_the_work_is_there_whatever_the_box_may_see_of_the_past(
    corral: Corral, repo: Path, history: str
) -> None:
    git(repo, "commit", "-qm", "secret past", "--allow-empty")
    git(repo, "commit", "-qm", "base", "--allow-empty")
    task = {**TASK, "sh": TELLS + "\ngit log --format=%s > log; git add -A; git commit -qm mine"}
    done = corral.run(repo, {"t": task}, history=history)
    assert done.code == 0, done.err
    second = tries(done, "t")[1]
    assert text(second, "tries").split() == ["try", "try"]
    assert "secret past" not in text(second, "log")
    subjects = git(repo, "log", "--format=%s", f"main..{second['branch']}").splitlines()
    assert subjects[0] == "mine"
    assert len(subjects) == 2
    assert git(repo, "rev-parse", f"{second['branch']}~2") == git(repo, "rev-parse", "main")


HOSTILE = """
echo try >> tries; cd "$HOME"; ls -A > /workspace/home; cat note >> /workspace/home
mkfifo pipe; ln -sfn / root; truncate -s 100G hole; chmod 4755 hole
ln -sfn /etc/passwd .gitconfig; mkdir -p .config/git; echo "[" > .config/git/config
mkdir -p "$(printf 'new\nline')"; echo mine > note; chmod 000 note; mkdir -p locked; chmod 000 locked; true
"""


def test_a_home_is_taken_as_it_is_and_harms_nobody(corral: Corral, repo: Path) -> None:
    done = corral.run(repo, {"t": {"sh": HOSTILE, "prompt": "p", "check": "false"}})
    _, second = tries(done, "t")
    assert (second["verdict"], second["retry"]["home"]) == ("rejected", "t/do-t/1"), done.err
    seen = text(second, "home").splitlines()
    assert {"pipe", "root", "hole"} <= set(seen)
    assert "note" not in seen, "what it had locked is not kept"
    assert text(second, "tries").split() == ["try", "try"]
    (archive,) = corral.home.rglob("t+do-t+1.home.tar.gz")
    assert archive.stat().st_size < 1024**2
    with tarfile.open(archive) as files:
        assert files.getmember("./root").issym()
        assert "./.gitconfig" not in files.getnames()


def test_a_home_beyond_measure_is_not_kept_and_the_next_try_begins_anew(corral: Corral, repo: Path) -> None:
    script = f'head -c 80M /dev/urandom > "$HOME/large"; {TELLS}'
    done = corral.run(repo, {"t": {**TASK, "sh": script, "limits": {"disk": "300MiB"}}})
    assert done.code == 0, done.err
    second = tries(done, "t")[1]
    assert (second["retry"]["home"], second["retry"]["on"]) == (None, None)
    assert text(second, "tries") == "try"
    assert list(corral.home.rglob("*.home.tar.gz*")) == []


def test_begun_anew_it_has_nothing_but_what_it_is_told(corral: Corral, repo: Path) -> None:
    done = corral.run(repo, {"t": {**TASK, "retry": {"session": "fresh"}}})
    assert done.code == 0, done.err
    second = tries(done, "t")[1]
    assert (text(second, "tries"), text(second, "notes"), text(second, "answer")) == ("try", "1", "42")
    assert (second["retry"]["on"], second["retry"]["home"]) == (None, None)


def test_what_an_earlier_try_made_of_the_tests_does_not_stay(corral: Corral, repo: Path) -> None:
    """Protected paths come back as before any try, also where the second goes on from the first."""
    script = 'if grep -q "earlier try" "$CORRAL_PROMPT_FILE"; then touch more; else echo true > check.sh; fi'
    (repo / "check.sh").write_text("echo never; false\n")
    git(repo, "add", ".")
    git(repo, "commit", "-qm", "check")
    task = {"sh": script, "prompt": "Do it.", "check": "sh check.sh", "protect": ["check.sh"]}
    done = corral.run(repo, {"t": task})
    first, second = tries(done, "t")
    assert (first["verdict"], second["verdict"]) == ("rejected", "rejected")
    assert text(second, "check.sh") == "true", "the work went on from what it was"
    assert "protected path" in second["flags"][0]


def test_more_memory_is_given_and_recorded(corral: Corral, repo: Path) -> None:
    script = "touch begun; head -c 300M /dev/zero > /tmp/x && touch done"
    task = {
        "sh": script,
        "prompt": "Fill it.",
        "retry": {"oom": {"memory": "768MiB"}},
        "check": "test -f done",
    }
    done = corral.run(repo, {"t": task, "u": {"sh": script}})
    first, second = tries(done, "t")
    assert (first["verdict"], second["verdict"]) == ("oom", "accepted")
    assert (second["retry"]["why"], second["retry"]["memory"]) == ("memory", 768 * 1024**2)
    assert "with 768MiB of memory" in corral("show", "t").out
    assert [row["verdict"] for row in tries(done, "u")] == ["oom"]
    assert f"corral retry u/do-u/1 --run {done.summary['run']} --memory 512MiB" in corral("report").out


def test_a_fault_of_ours_rests_first_and_begins_as_it_was(corral: Corral, repo: Path) -> None:
    file = write_tasks(repo.parent / "t.yaml", repo, {"t": {**TASK, "sh": TELLS + "sleep 3"}}, retry=ONE)
    with living(corral, "run", file) as run:
        run.until("attempt.running", 2)
        with Engine({}) as engine:
            engine.remove(run.boxes()["t/do-t/1.2"])
        assert run.end() == 0
    rows = run.events[-1]["attempts"]
    assert [(row["try"], row["verdict"]) for row in rows] == [
        (1, "rejected"),
        (2, "infrastructure"),
        (3, "accepted"),
    ]
    assert [row["retry"] and row["retry"]["told"] for row in rows] == [None, "t/do-t/1", "t/do-t/1"]
    assert run.count("attempt.rested") == 1
    assert text(rows[2], "tries").split() == ["try", "try"]


def test_a_run_that_died_before_the_next_try_makes_it_once_it_is_resumed(corral: Corral, repo: Path) -> None:
    file = write_tasks(repo.parent / "t.yaml", repo, {"t": TASK})
    with living(corral, "run", file) as run:
        run.until("attempt.final")
        run.kill()
    done = corral("resume", "--json")
    assert done.code == 0, done.err
    assert [(row["try"], row["verdict"]) for row in tries(done, "t")] == [(1, "rejected"), (2, "accepted")]


GRAPH: dict[str, dict[str, Any]] = {
    "bad": {"sh": "echo half > half", "check": "test -f whole"},
    "next": {"sh": "cat half > copy 2>/dev/null; touch next", "needs": ["bad"]},
}


def test_what_needs_it_is_held_until_a_person_uses_its_work(corral: Corral, repo: Path) -> None:
    done = corral.run(repo, GRAPH)
    assert done.code == 1
    (one,) = done.summary["undecided"]
    assert (one["task"], one["waiting"]) == ("bad", ["next/do-next/1"])
    name = done.summary["run"]
    for command in (("status",), ("report",)):
        assert f"corral decide {name} bad use bad/do-bad/1" in corral(*command).out
    assert corral("decide", name, "next", "skip").code == 2
    used = corral("decide", name, "bad", "use", "bad")
    assert used.code == 0, used.err
    assert f"corral resume {name}" in used.out
    resumed = corral("resume", "--json")
    assert resumed.code == 0, resumed.err
    row = resumed.attempt("next")
    assert text(row, "copy") == "half"
    assert resumed.attempt("bad")["chosen"] is True
    assert resumed.summary["undecided"] == []


def test_skipped_it_is_left_out_and_tried_again_it_is_told(corral: Corral, repo: Path) -> None:
    tasks = {**GRAPH, "bad": {**GRAPH["bad"], "sh": 'cp "$CORRAL_PROMPT_FILE" told; echo half > half'}}
    done = corral.run(repo, tasks)
    name = done.summary["run"]
    assert corral("decide", name, "bad", "skip", "--json").json["lives"] is False
    assert corral("resume", "--json").code == 0
    assert text(corral("status", "--json").json["attempts"][1], "next") == ""
    refused = corral("retry", "bad", "--memory", "900GiB")
    assert (refused.code, "can never start here: memory: needs 900GiB" in refused.err) == (2, True)
    retried = corral("retry", "bad", "--say", "Make it whole.", "--memory", "300MiB")
    assert retried.code == 0, retried.err
    again = corral("resume", "--json")
    assert again.code == 1
    second = tries(again, "bad")[1]
    assert "Make it whole." in text(second, "told")
    assert second["retry"]["memory"] == 300 * 1024**2


def test_a_living_run_heeds_a_decision_at_once(corral: Corral, repo: Path) -> None:
    slow = "until [ -f /tmp/never ]; do sleep 1; done"
    tasks = {**GRAPH, "slow": {"sh": slow, "limits": {"time": "40s", "idle": "40s"}}}
    file = write_tasks(repo.parent / "t.yaml", repo, tasks)
    with living(corral, "run", file, "--jobs", "3") as run:
        run.until("attempt.final")
        assert corral("decide", "latest", "bad", "skip").code == 0
        run.until("task.decided")
        run.until("attempt.final", 2)
        assert run.events[-1]["attempt"] == "next/do-next/1"
        assert corral("stop").code == 0
        run.end()
    heeded = [event for event in run.events if event["kind"] == "run.order"]
    assert [json.loads(json.dumps(event["order"]))["kind"] for event in heeded] == ["decide", "stop"]
