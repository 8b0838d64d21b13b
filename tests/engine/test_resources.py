"""What real boxes use: seen while they live, from another process, and told of them afterwards."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from runner.names import AttemptKey
from runner.sandbox import usage
from runner.sandbox.engine import Engine
from runner.supervisor.attempt import metering
from runner.supervisor.census import Census
from tests.engine.living import living
from tests.support import QUICK, Corral, Done, write_tasks

MIB = 1024**2
LIMITS = {**QUICK, "cpus": 0.5, "disk": "256MiB"}

WORK = """
dd if=/dev/urandom of=made bs=1M count=24 conv=fsync 2> /dev/null
python3 -c 'import time
kept = b"x" * (100 << 20)
began = time.process_time()
while time.process_time() - began < 0.8:
    pass
time.sleep(1.5)'
for i in 1 2 3 4 5 6 7 8; do sleep 2 & done
wait
"""
"""Two dozen MiB on its disk, a hundred in memory, all of its tenth of a core for a while, some processes."""

WAIT = "echo begun; head -c 60M /dev/zero | tail -c 60M | (sleep 600; cat) > /dev/null"


def test_what_an_attempt_used_is_told(corral: Corral, repo: Path) -> None:
    done = corral.run(repo, {"t": WORK}, limits={**LIMITS, "cpus": 0.1})
    assert done.code == 0, done.err
    row = done.attempt("t")
    used = row["used"]
    assert 0.8 <= used["cpu_seconds"] <= row["cpu_seconds"] + 0.001
    assert 0 < used["throttled"] <= 1
    assert used["throttled_seconds"] is not None
    assert 100 * MIB <= used["peak_working_set"] <= 256 * MIB
    assert 24 * MIB <= used["disk_used"] <= 256 * MIB
    assert used["written_bytes"] is None or used["written_bytes"] >= 24 * MIB
    assert 9 <= used["most_pids"] <= 128
    assert (used["oom_kills"], used["pid_refusals"]) == (0, 0)
    shown = corral("show", "t").out
    assert "working set" in shown
    assert any(bar in shown for bar in "▃▄▅▆▇█"), shown
    course = corral("show", "t", "--json").json["course"]
    assert len(course["cores"]) == len(course["memory"]) > 2
    assert max(size for size in course["memory"] if size is not None) == used["peak_working_set"]


def test_living_boxes_are_seen_from_another_process(
    corral: Corral, repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write_tasks(repo.parent / "t.yaml", repo, {"a": WAIT, "b": WAIT}, limits=LIMITS)
    with living(corral, "run", file, "--jobs", "2") as run:
        run.until_said("begun", 2)
        seen = _until_noted(corral)
        text = corral("top", "--once").out
        live = corral("show", "a").out
        with Engine(corral.environment) as engine:
            state = engine.inspect(run.boxes()["a/do-a/1"])
            assert state is not None
            group = usage.find_group(state.pid, container=state.id)
            told = usage.from_statistics(engine.usage(state.id) or {})
            monkeypatch.setattr(usage, "find_group", lambda *_, **__: None)  # as with an engine elsewhere
            census = Census(engine, corral.home)
            census.look()
            elsewhere = census.look()
        run.process.terminate()
        run.process.terminate()
        run.end()
    assert [box["attempt"] for box in seen["boxes"]] == ["a/do-a/1", "b/do-b/1"]
    first = seen["boxes"][0]
    assert (first["role"], first["frozen"], first["cpus"]) == ("agent", False, 0.5)
    assert (first["memory_limit"], first["pids_limit"]) == (256 * MIB, 128)
    assert 0 <= first["cores"] < 0.5
    assert 60 * MIB <= first["memory"] <= 256 * MIB
    assert first["pids"] >= 4
    assert 0 < first["disk"] < 256 * MIB
    assert seen["host"]["cores"] >= 1
    assert 0 <= seen["host"]["busy_cores"] <= seen["host"]["cores"]
    assert seen["host"]["memory"] > seen["host"]["memory_available"] > 0
    assert "a/do-a/1" in text
    assert text.startswith("host")
    assert "working set" in live
    assert [box.attempt for box in elsewhere.boxes] == ["a/do-a/1", "b/do-b/1"]
    for box in elsewhere.boxes:
        assert (box.bounds.memory, box.usage.pressure, box.usage.oom_kills) == (None, None, None)
        assert box.cores is not None
        assert box.usage.memory is not None
        assert box.usage.memory > 60 * MIB
        assert box.disk
    if group is None:  # a remote engine: then the statistics were all that there is
        return
    assert told.cpu_seconds is not None
    assert told.pids == first["pids"]
    assert told.memory is not None
    assert abs(told.memory - first["memory"]) < 8 * MIB


def _until_noted(corral: Corral) -> dict[str, Any]:
    """What `top` shows once it knows of the disks of both boxes, and their memory is taken."""
    for _ in range(30):
        seen: dict[str, Any] = corral("top", "--json", "--once").json
        if all(box["disk"] and (box["memory"] or 0) > 60 * MIB for box in seen["boxes"]):
            return seen
    raise AssertionError(seen)


def test_without_boxes_there_is_the_host(corral: Corral) -> None:
    done = corral("top", "--json", "--once")
    assert done.code == 0, done.err
    assert done.json["boxes"] == []
    assert "no box lives" in corral("top").out
    assert not corral.home.exists(), "who only looks makes nothing"


def test_a_record_goes_on_after_a_crash(corral: Corral, repo: Path) -> None:
    sh = "touch made; head -c 80M /dev/zero | tail -c 80M | (sleep 3; cat) > /dev/null; echo less; sleep 15"
    file = write_tasks(repo.parent / "t.yaml", repo, {"t": sh}, limits=LIMITS)
    with living(corral, "run", file) as run:
        run.until_said("less")
        run.kill()
    (name,) = [folder.name for folder in (corral.home / "runs").iterdir()]
    noted = metering.look(metering.usage_file(corral.home, name, AttemptKey("t", "do-t")))
    assert noted is not None
    time.sleep(1)
    with living(corral, "resume") as resumed:
        assert resumed.end() == 0
    whole = metering.look(metering.usage_file(corral.home, name, AttemptKey("t", "do-t")))
    assert whole is not None
    assert whole.samples[: len(noted.samples)] == noted.samples
    assert len(whole.samples) > len(noted.samples)
    used = resumed.rows()["t"]["used"]
    assert used["peak_working_set"] >= 80 * MIB, "what the process that crashed had seen"


@pytest.mark.parametrize(
    ("sh", "figure"),
    [
        ("python3 -c 'b\"x\" * (400 << 20)'; sleep 3", "oom_kills"),
        ("(for i in $(seq 200); do sleep 3 & done; wait) 2> /dev/null; sleep 3", "pid_refusals"),
    ],
    ids=("memory", "processes"),
)
def test_what_a_limit_refused_is_counted(corral: Corral, repo: Path, sh: str, figure: str) -> None:
    done: Done = corral.run(repo, {"t": sh}, limits=LIMITS)
    assert done.attempt("t")["used"][figure] >= 1
