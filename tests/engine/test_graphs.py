"""Graphs of tasks, really executed: fan-out, fan-in with results, routing, sequences, paths."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from runner import names
from runner.sandbox.engine import Engine
from tests.engine.living import living
from tests.support import Corral, Done, git, make_repo, write_tasks

EVIL = "$(touch pwned); touch pwned"
PARTS = {f"parts/{name}": f"{name}\n" for name in ("a", "b", "c d", EVIL)} | {"other": "x\n"}


def files_of(row: dict[str, Any]) -> list[str]:
    """The files of an attempt's branch."""
    return git(Path(row["repo"]), "ls-tree", "-r", "--name-only", row["branch"]).splitlines()


def content(row: dict[str, Any], path: str) -> str:
    """A file of an attempt's branch."""
    return git(Path(row["repo"]), "show", f"{row['branch']}:{path}")


FIX = 'printf %s "$CORRAL_PROMPT" > "said $CORRAL_ITEM"; echo "I fixed $CORRAL_ITEM"'
JOIN = """
set -e
in=/run/corral/in/passed
cat $in/index > index
grep -q "$in/index" "$CORRAL_PROMPT_FILE"
! touch $in/mine
cat $in/summary/fix.2+do-fix+1.txt > summary
cat $in/diff/*.patch > patches
for name in $(cut -d ' ' -f 1 $in/index); do
    git fetch -q $in/branches.bundle $name
    git merge -q --no-edit FETCH_HEAD
done
git log --format=%s > log
"""


@pytest.fixture(scope="module")
def fanned(tmp_path_factory: pytest.TempPathFactory) -> Done:
    """Items that a command tells, and a task that gets all that was done for them."""
    folder = tmp_path_factory.mktemp("fanned")
    repo = make_repo(folder / "repo", PARTS)
    (repo / "parts/uncommitted").write_text("not in the base\n")
    tasks = {
        "fix": {
            "sh": FIX,
            "prompt": "Look at {item}, {not this}.",
            "for_each": {
                "command": "ls parts; echo; echo noise >&2; touch left-behind; ls parts | head -n 1"
            },
            "check": 'test -f "said $CORRAL_ITEM" && test -f "parts/$CORRAL_ITEM"',
        },
        "join": {"sh": JOIN, "prompt": "Merge.", "needs": ["fix"], "pass": ["summary", "diff", "branch"]},
    }
    return Corral(folder / "home").run(repo, tasks)


def test_each_line_that_the_command_prints_is_an_item(fanned: Done) -> None:
    assert fanned.code == 0, fanned.err
    rows = [row for row in fanned.summary["attempts"] if row["task"] != "join"]
    assert [(row["task"], row["item"], row["verdict"]) for row in rows] == [
        ("fix.1", EVIL, "accepted"),
        ("fix.2", "a", "accepted"),
        ("fix.3", "b", "accepted"),
        ("fix.4", "c d", "accepted"),
    ]
    assert rows[3]["branch"].endswith("/fix.4/do-fix/1")
    assert content(rows[3], "said c d") == "Look at c d, {not this}."
    assert content(rows[0], f"said {EVIL}") == f"Look at {EVIL}, {{not this}}."
    assert not any("pwned" in name.split("/") for row in rows for name in files_of(row)), "an item is data"
    assert "left-behind" not in files_of(rows[0]), "the command's box is not the agents'"
    [expanded] = [event for event in fanned.events if event["kind"] == "task.expanded"]
    assert expanded["items"] == [EVIL, "a", "b", "c d"]


def test_what_needs_them_gets_their_results_as_files(fanned: Done) -> None:
    join = fanned.attempt("join")
    assert join["verdict"] == "done", join
    assert {"said a", "said b", "said c d", f"said {EVIL}"} <= set(files_of(join)), (
        "their commits could be merged"
    )
    assert content(join, "index").splitlines() == [
        f"fix.1/do-fix/1  accepted  for {EVIL}",
        "fix.2/do-fix/1  accepted  for a",
        "fix.3/do-fix/1  accepted  for b",
        "fix.4/do-fix/1  accepted  for c d",
    ]
    summary = content(join, "summary")
    for words in ("verdict: accepted", "check: passed", "said a | 1 +", "printed last:\nI fixed a"):
        assert words in summary
    assert content(join, "patches").count("diff --git") == 4
    assert join["flags"] == [], "merged commits came home whole"


@pytest.mark.parametrize("history", ["shallow", "none"])
def test_results_are_passed_whatever_of_the_past_boxes_see(
    corral: Corral, tmp_path: Path, history: str
) -> None:
    repo = make_repo(tmp_path / "repo", PARTS)
    (repo / "other").write_text("later\n")
    git(repo, "commit", "--quiet", "--all", "--message=second")
    join = "cp /run/corral/in/passed/index index; cp /run/corral/in/passed/diff/* .; " + (
        "git fetch -q /run/corral/in/passed/branches.bundle back/do-back/1 && git merge -q FETCH_HEAD"
        if history == "shallow"
        else "! test -e /run/corral/in/passed/branches.bundle"
    )
    tasks = {
        "back": "echo x > other",  # its content is in the past that a shallow box does not have
        "join": {"sh": join, "prompt": "p", "needs": ["back"], "from": "base", "pass": ["diff", "branch"]},
    }
    done = corral.run(repo, tasks, history=history)
    row = done.attempt("join")
    assert row["verdict"] == "done", row
    assert "-later" in content(row, "back+do-back+1.patch")
    assert ("(no branch: history is none)" in content(row, "index")) == (history == "none")
    assert (content(row, "other") == "x") == (history == "shallow")


def test_a_run_takes_the_way_that_verdicts_say(corral: Corral, repo: Path) -> None:
    tasks = {
        "fix": {"sh": "echo wrong > answer", "check": "grep right answer"},
        "repair": {
            "sh": "grep -q wrong answer && echo right > answer",
            "needs": ["fix"],
            "when": "fix.verdict == 'rejected' and fix.files == 1",
            "check": "grep right answer",
        },
        "polish": {"sh": "touch polished", "needs": ["fix"], "when": "fix.verdict == 'accepted'"},
        "report": {"sh": "cp answer report", "needs": ["repair"]},
        "praise": {"sh": "touch praise", "needs": ["polish"]},
    }
    done = corral.run(repo, tasks)
    assert done.verdicts == {
        "fix": "rejected",
        "repair": "accepted",
        "polish": "skipped",
        "report": "done",
        "praise": None,
    }
    assert done.attempt("repair")["base"] == done.attempt("fix")["commit"], "from what was rejected"
    assert content(done.attempt("report"), "report") == "right"
    assert "fix.verdict is rejected" in done.attempt("polish")["reason"]
    assert done.code == 1, "fix did not serve"
    said = corral("status").out
    assert "skipped" in said


def test_what_is_not_wanted_stands_in_nobodys_way(corral: Corral, repo: Path) -> None:
    tasks = {
        "fix": {"sh": "echo right > answer", "check": "grep right answer"},
        "repair": {"sh": "false", "needs": ["fix"], "when": "fix.verdict != 'accepted'"},
        "report": {"sh": "cp answer report", "needs": ["repair"]},
    }
    done = corral.run(repo, tasks)
    assert (done.code, done.verdicts) == (0, {"fix": "accepted", "repair": "skipped", "report": "done"})
    assert done.attempt("report")["base"] == done.attempt("fix")["commit"]


def test_a_sequence_goes_on_from_the_last_work_that_served(corral: Corral, repo: Path) -> None:
    tasks = {
        "one": {"sh": "touch one", "check": "true"},
        "two": {"sh": "touch two", "check": "false"},
        "each": {"sh": 'touch "$CORRAL_ITEM"', "for_each": ["x", "y"], "prompt": "{item}"},
        "last": "ls > seen",
    }
    done = corral.run(repo, tasks, "--jobs", "4", mode="sequential")
    assert done.verdicts == {
        "one": "accepted",
        "two": "rejected",
        "each.1": "done",
        "each.2": "done",
        "last": "done",
    }
    assert content(done.attempt("last"), "seen").split() == ["a.txt", "one", "seen", "x", "y"]
    order = [
        e["attempt"].split("/")[0] for e in done.events if e["kind"] in {"attempt.started", "attempt.final"}
    ]
    assert order == [task for name in ("one", "two", "each.1", "each.2", "last") for task in (name, name)]


def test_tasks_with_the_same_paths_never_live_side_by_side_and_strays_are_told(
    corral: Corral, repo: Path
) -> None:
    tasks = {
        "one": {"sh": "mkdir -p src; touch src/one stray", "paths": ["src/"]},
        "two": {"sh": "mkdir -p src; touch src/two", "paths": ["src/two", "docs"]},
        "free": {"sh": "touch elsewhere", "paths": ["elsewhere"]},
        "strict": {"sh": "touch loose", "paths": ["lib"], "outside_paths": "refuse"},
    }
    done = corral.run(repo, tasks, "--jobs", "4")
    assert done.verdicts == {"one": "done", "two": "done", "free": "done", "strict": "refused"}
    assert done.attempt("one")["flags"] == ["outside-paths: it changed 'stray', outside of `paths`"]
    assert done.attempt("two")["flags"] == done.attempt("free")["flags"] == []
    assert "'loose'" in done.attempt("strict")["reason"]
    assert Path(done.attempt("strict")["kept"]).is_file()
    steps = [(e["kind"], e["attempt"].split("/")[0]) for e in done.events if e.get("attempt")]
    ended, began = steps.index(("attempt.final", "one")), steps.index(("attempt.started", "two"))
    assert ended < began, steps
    assert "tasks one and two both declare src/two" in " ".join(done.summary["notes"])


def test_files_are_those_of_the_base_commit(corral: Corral, tmp_path: Path) -> None:
    repo = make_repo(
        tmp_path / "repo", {"src/a.py": "", "src/deep/b.py": "", "src/test_a.py": "", "c.py": ""}
    )
    (repo / "src/new.py").write_text("")
    (repo / "src/a.py").unlink()
    (repo / "src/link.py").symlink_to("a.py")
    git(repo, "add", "src/link.py")
    git(repo, "commit", "--quiet", "--message=link")
    fan = {"files": ["src/**/*.py", "!**/test_*"]}
    tasks = {
        "fix": {
            "sh": 'echo "# fixed" > "$CORRAL_ITEM"',
            "for_each": fan,
            "prompt": "{item}",
            "paths": ["{item}"],
        }
    }
    done = corral.run(repo, tasks, "--jobs", "2")
    assert done.code == 0, done.err
    rows = done.summary["attempts"]
    assert [(row["item"], row["files"], row["flags"]) for row in rows] == [
        ("src/a.py", 1, []),
        ("src/deep/b.py", 1, []),
    ]
    file = write_tasks(
        tmp_path / "none.yaml", repo, {"t": {"sh": "true", "prompt": "p", "for_each": {"files": "*.c"}}}
    )
    refused = corral("plan", file)
    assert refused.code == 2
    assert "no file of HEAD is meant by *.c" in refused.err


HOSTILE = {
    "fails": ("echo a; exit 3", "ended with exit 3"),
    "odd": ("printf 'a\\033[2Jb\\n'", "not plain text"),
    "path": ("echo ../../etc/passwd", "no path"),
    "endless": ("yes '' ", "took more than 4s"),
    "many": ("seq 20000", "more than 10000 items"),
    "outside": ("(command -v curl; ls /sys/class/net) | grep -v lo | grep . || exit 9", "exit 9"),
}


def test_a_command_that_tells_no_items_fails_its_task_alone(corral: Corral, repo: Path) -> None:
    tasks: dict[str, Any] = {
        name: {
            "sh": "true",
            "prompt": "{item}",
            "for_each": {"command": command},
            "limits": {"time": "4s"},
            **({"paths": ["{item}"]} if name == "path" else {}),
        }
        for name, (command, _) in HOSTILE.items()
    }
    tasks["none"] = {"sh": "true", "prompt": "{item}", "for_each": {"command": "true"}}
    tasks["after-none"] = {"sh": "touch x", "needs": ["none"]}
    tasks["after-odd"] = {"sh": "touch x", "needs": ["odd"]}
    done = corral.run(repo, tasks)
    for name, (_, words) in HOSTILE.items():
        row = done.attempt(name)
        assert (row["verdict"], words in row["reason"]) == ("infrastructure", True), row
    assert done.attempt("after-none")["verdict"] == "done"
    assert done.attempt("after-odd")["verdict"] is None
    assert done.code == 3


GO = "/tmp/go"  # noqa: S108 - in the box
WAITS = f"echo begun >&2; while ! test -e {GO}; do sleep 0.1; done"


@pytest.mark.parametrize("how", ["kill", "stop"])
def test_finding_out_items_is_begun_anew_after_a_crash_and_a_stop(
    corral: Corral, repo: Path, how: str
) -> None:
    tasks = {
        "fix": {
            "sh": 'touch "$CORRAL_ITEM"',
            "prompt": "{item}",
            "for_each": {"command": f"test -e /workspace/slow && {{ {WAITS}; }}; echo one; echo two"},
        }
    }
    (repo / "slow").write_text("")
    git(repo, "add", "slow")
    git(repo, "commit", "--quiet", "--message=slow")
    file = write_tasks(corral.home.parent / "t.yaml", repo, tasks)
    with living(corral, "run", file) as live:
        live.until("image.ready")
        with Engine(corral.environment) as engine:
            box = _items_box(engine, corral)
            assert any(b"begun" in (said or b"") for _, said in engine.follow(box))
        if how == "kill":
            live.kill()
        else:
            assert live.stop() in {1, 130}
    if how == "stop":
        return
    with living(corral, "resume") as live:
        live.until("image.ready")
        with Engine(corral.environment) as engine:
            again = _items_box(engine, corral, other_than=box)
            assert engine.inspect(box) is None, "nothing of the first is left"
            engine.execute(again, ["touch", GO])
        assert live.end() == 0
        assert {name: row["verdict"] for name, row in live.rows().items()} == {
            "fix.1": "done",
            "fix.2": "done",
        }


def _items_box(engine: Engine, corral: Corral, other_than: str = "") -> str:
    """The box in which the items are found out, once it runs."""
    while True:
        for box in engine.find(names.label_filters(names.home_id(str(corral.home)))):
            mine = "+items" in box.labels.get(names.LABEL_ATTEMPT, "")
            if mine and box.id != other_than and box.started is not None and box.alive:
                return box.id
