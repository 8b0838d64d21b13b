"""The real Claude Code in a real box, recorded from a script, and played again: the same, or not."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest
import yaml

from runner.gateway.playing.recording import Lines, Recording, load
from tests.support import Corral, Done, git, make_repo

CANARY = "sk-ant-CANARY-0123456789abcdef"
FIX = f"""
turns:
  - text: I will look first.
    tools:
      - name: Bash
        input:
          command: "cat a.txt; date; git log --oneline; ls -l; echo {CANARY} is no key of ours; sleep 0.2"
      - {{name: Bash, input: {{command: "cat /proc/sys/kernel/random/uuid; time true"}}}}
    usage: {{input: 1200, output: 40, cache_read: 300, cache_write: 5000}}
  - expect: one
    tools:
      - name: Bash
        input: {{command: "echo two >> a.txt && git commit -qam 'Add two' && git log -1 && echo new > b.txt"}}
    usage: {{input: 700, output: 31, cache_read: 5300}}
  - text: Done.
    usage: {{input: 90, output: 12, cache_read: 6000, cache_write: 11}}
"""
NEXT = """
turns:
  - tools: [{name: Bash, input: {command: "cat b.txt && echo three >> a.txt"}}]
  - text: Done as well.
"""


def write(folder: Path, **top: object) -> Path:
    """The task file: one task, one that starts from its branch, and one of a command that asks nobody."""
    file = folder / "corral.yaml"
    agents = {
        "steady": {"cli": "claude", "model": "claude-opus-5-5"},
        "lint": {"cli": "command", "run": "echo linted > lint.txt"},
    }
    tasks = [
        {"id": "fix", "agent": "steady", "prompt": "Please add two.", "check": "grep two a.txt"},
        {"id": "next", "agent": "steady", "prompt": "Add three.", "needs": ["fix"]},
        {"id": "lint", "agent": "lint"},
    ]
    limits = {"cpus": 1, "memory": "1GiB", "time": "3min", "idle": "1min"}
    file.write_text(
        yaml.safe_dump(
            {"repo": str(folder / "repo"), "limits": limits, "agents": agents, "tasks": tasks, **top}
        )
    )
    return file


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository, and the transcripts."""
    made = tmp_path_factory.mktemp("replay")
    make_repo(made / "repo")
    (made / "scripts" / "steady").mkdir(parents=True)
    (made / "scripts" / "steady" / "fix.yaml").write_text(FIX)
    (made / "scripts" / "steady" / "next.yaml").write_text(NEXT)
    return made


@pytest.fixture(scope="module")
def corral(folder: Path) -> Corral:
    """The command, with a key that is nobody's."""
    return Corral(folder / "home", {"ANTHROPIC_API_KEY": CANARY})


@pytest.fixture(scope="module")
def recorded(folder: Path, corral: Corral) -> Done:
    """The run that is recorded. Its transcripts are gone afterwards: what plays then is the recording."""
    file = write(folder, name="night", upstream="script:scripts")
    done = corral("run", file, "--json", "--record")
    for script in (folder / "scripts" / "steady").iterdir():
        script.unlink()
    return done


@pytest.fixture(scope="module")
def replayed(corral: Corral, recorded: Done) -> Done:
    """The same again."""
    assert recorded.code == 0, recorded.err
    return corral("replay", "night", "--json")


def tree(repo: Path, branch: str) -> str:
    """What a branch holds."""
    return git(repo, "rev-parse", f"{branch}^{{tree}}")


def test_a_replay_is_the_same_to_the_end(folder: Path, recorded: Done, replayed: Done) -> None:
    assert replayed.code == 0, (replayed.err, [row["replayed"] for row in replayed.summary["attempts"]])
    assert (replayed.summary["run"], replayed.summary["scripted"]) == ("night-replay", True)
    for task, turns in (("fix", 3), ("next", 2)):
        before, after = recorded.attempt(task), replayed.attempt(task)
        assert after["replayed"] == {"turns": turns, "reached": turns, "departed": None}, after
        for figure in ("verdict", "check", "requests", "tokens", "usd", "files", "insertions"):
            assert after[figure] == before[figure], figure
        assert after["branch"] != before["branch"]
        assert tree(folder / "repo", after["branch"]) == tree(folder / "repo", before["branch"])
    assert recorded.attempt("fix")["verdict"] == "accepted"
    assert (replayed.attempt("lint")["verdict"], replayed.attempt("lint")["replayed"]) == ("done", None)


def test_no_key_is_in_a_recording(folder: Path, replayed: Done) -> None:
    """Nor what looks like one: the agent printed the canary, and was answered with it."""
    assert replayed.code == 0
    model = folder / "home" / "runs" / "night" / "model"
    assert sorted(file.name for file in model.iterdir()) == ["fix+steady+1.jsonl", "next+steady+1.jsonl"]
    for file in model.iterdir():
        assert "CANARY" not in file.read_text()
        assert file.stat().st_mode & 0o777 == 0o600
        for line in file.read_text().splitlines():
            json.loads(line)
    assert "is no key of ours" in (model / "fix+steady+1.jsonl").read_text()


def test_one_attempt_alone_and_what_it_starts_from(corral: Corral, replayed: Done) -> None:
    assert replayed.code == 0
    done = corral("replay", "night", "next", "--json", "--strict")
    assert done.code == 0, done.err
    assert done.verdicts == {"fix": "accepted", "next": "done"}
    assert done.summary["run"] == "night-replay-2"


def test_a_committed_recording_plays_and_another_prompt_departs(
    folder: Path, corral: Corral, replayed: Done
) -> None:
    """By `upstream: replay:FILE`, with other words in the task: it goes on, and says where it departed."""
    assert replayed.code == 0
    (folder / "kept.jsonl").write_bytes(
        (folder / "home" / "runs" / "night" / "model" / "fix+steady+1.jsonl").read_bytes()
    )
    file = write(folder, name="other", upstream="replay:kept.jsonl")
    file.write_text(file.read_text().replace("Please add two.", "Please add 2."))
    task = yaml.safe_load(file.read_text())
    task["tasks"] = task["tasks"][:1]
    file.write_text(yaml.safe_dump(task))
    done = corral("run", file, "--json")
    row = done.attempt("fix")
    assert (row["verdict"], row["tokens"]) == ("accepted", replayed.attempt("fix")["tokens"]), done.err
    departed = row["replayed"]["departed"]
    assert departed["turn"] == 1
    assert "recorded 'Please add two.', now 'Please add 2.'" in departed["what"], departed
    shown = corral("show", "fix", "--run", "other").out
    assert "departed from the recording at turn 1" in shown
    assert "A recording played the model here" in shown


def told_otherwise(recording: Recording, before: bytes, after: bytes) -> bytes:
    """The recording, as if its model had said something else of the same length."""
    lines = Lines(set())
    written = [lines.head(recording.run, recording.attempt)]
    for one in recording.exchanges:
        assert one.answer is not None
        body = recording.bytes_of(one.body)
        written += lines.request(0.0, one.method, one.target, one.headers, body)
        said = recording.bytes_of(one.answer.body).replace(before, after)
        pieces = [*one.answer.pieces]
        written += lines.answer(lines.last, one.answer.status, one.answer.headers, said, pieces, whole=True)
    return b"".join(written)


def test_another_answer_departs_at_the_next_turn(folder: Path, corral: Corral, replayed: Done) -> None:
    """The agent does what it is told, and what it then says was not recorded. `--strict` ends it there."""
    assert replayed.code == 0
    model = folder / "home" / "runs" / "night" / "model" / "fix+steady+1.jsonl"
    kept = model.read_bytes()
    try:
        model.write_bytes(told_otherwise(load(model), b"cat a.txt; date", b"cat a.txt; ls /"))
        done = corral("replay", "night", "fix", "--json")
        strict = corral("replay", "night", "fix", "--json", "--strict")
        model.write_bytes(kept.replace(b"cat a.txt; date", b"cat a.txt; ls /"))
        refused = corral("replay", "night", "fix")
    finally:
        model.write_bytes(kept)
    assert done.code == 1
    row = done.attempt("fix")
    assert (row["verdict"], row["replayed"]["reached"], row["replayed"]["departed"]["turn"]) == (
        "accepted",
        3,
        2,
    )
    assert "messages[2]" in row["replayed"]["departed"]["what"]
    assert strict.code == 1
    row = strict.attempt("fix")
    assert (row["verdict"], row["replayed"]["reached"]) == ("agent-error", 2), row
    assert "the replay departs from its recording at turn 2" in row["reason"]
    assert refused.code == 2
    assert "a part is not what its hash says" in refused.err


def test_what_was_not_recorded_is_said(folder: Path, corral: Corral, recorded: Done) -> None:
    assert recorded.code == 0
    file = write(folder, name="quiet", upstream="replay:kept.jsonl")
    task = yaml.safe_load(file.read_text())
    task["tasks"] = task["tasks"][2:]
    file.write_text(yaml.safe_dump(task))
    assert corral("run", file, "--json").code == 0
    done = corral("replay", "quiet")
    assert done.code == 2
    assert "the run quiet was not recorded" in done.err
    assert "--record" in done.err
    with sqlite3.connect(folder / "home" / "g" / "ledger.db") as ledger:
        (real,) = ledger.execute("SELECT count(*) FROM requests WHERE NOT scripted").fetchone()
    ledger.close()
    assert real == 0
