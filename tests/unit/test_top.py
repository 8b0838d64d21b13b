"""What boxes use, as people and programs are shown it: nothing unknown is shown as nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.names import AttemptKey
from runner.sandbox.pressure import Pressure, Stall
from runner.sandbox.usage import Bounds, Usage
from runner.supervisor import events as e
from runner.supervisor.attempt.samples import Record, Sample, Used
from runner.supervisor.census import Living, Look
from runner.supervisor.host import machine
from runner.supervisor.host.readings import Readings
from runner.supervisor.state import RunState
from runner.views import measured, report, summary, top
from tests.support import Corral
from tests.unit.makers import after, life, make_plan, started
from tests.unit.test_views import LONG, drawn

MIB, GIB = 1 << 20, 1 << 30
HOST = Readings(
    at=10.0,
    cores=4,
    busy_seconds=100.0,
    memory_total=8 * GIB,
    memory_available=2 * GIB,
    swap_total=0,
    swap_used=0,
    load=(1.5, 1.25, 1.0),
    disk_total=100 * GIB,
    disk_free=40 * GIB,
    pressure=Pressure(cpu=Stall(12.4, None, 9.0, None), io=Stall(0.2, 0.0, 1.0, 0.5)),
)
BUSY = Living(
    container="c1",
    run="r",
    attempt=str(LONG.key),
    role="agent",
    started=1_000.0,
    frozen=False,
    usage=Usage(memory=950 * MIB, pids=12, pressure=Pressure(memory=Stall(40.0, 8.0, 3.0, 1.0))),
    bounds=Bounds(cpus=2.0, memory=GIB, pids=512),
    cores=1.25,
    read=0.0,
    written=3.0 * MIB,
    throttled=0.25,
    disk=30 * MIB,
)
UNKNOWN = Living("c2", "r", "b/q/1", "check", None, True, Usage(), Bounds())
SEEN = Look(at=1_060.0, host=HOST, busy=3.9, boxes=(UNKNOWN, BUSY))


def test_the_host_and_each_box() -> None:
    head, columns, busy, unknown = drawn(top.terminal(SEEN), 200).splitlines()
    assert head.split("  ") == [
        "host",
        "cpu 3.9/4",
        "load 1.50 1.25 1.00",
        "memory 6GiB/8GiB",
        "disk 60GiB/100GiB",
        "waits for cpu 12%",
    ]
    assert (
        " ".join(columns.split()) == "attempt run since cpu memory processes read/s written/s disk waits for"
    )
    for words in (
        "running",
        "1min",
        "1.2/2 (25% stopped)",
        "950MiB/1GiB",
        "12/512",
        " - ",
        "3MiB",
        "memory 40%",
    ):
        assert words in busy
    assert unknown.split() == ["b/q/1", "r", "frozen", *"????????"]


@pytest.mark.parametrize("width", [60, 80, 120, 240])
def test_names_are_whole_at_any_width(width: int) -> None:
    text = drawn(top.terminal(SEEN), width)
    assert str(LONG.key) in text
    assert all(len(line) <= width for line in text.splitlines())


def test_on_a_low_screen_the_busiest_are_shown() -> None:
    text = drawn(top.terminal(SEEN, 1), 200)
    assert "b/q/1" not in text
    assert "… and 1 more" in text
    assert "no box lives" in drawn(top.terminal(replace(SEEN, boxes=())), 80)


def test_for_programs_unknown_is_null() -> None:
    row: dict[str, Any] = dict(top.as_json(SEEN))
    assert (row["kind"], row["schema"], row["at"]) == ("top", 1, 1_060.0)
    unknown, busy = row["boxes"]
    assert {name for name, value in unknown.items() if value is not None} == {
        "run",
        "attempt",
        "role",
        "container",
        "frozen",
    }
    assert busy["pressure"]["memory"] == {
        "some": 40.0,
        "full": 8.0,
        "some_seconds": 3.0,
        "full_seconds": 1.0,
    }
    assert busy["pressure"]["io"] is None


def test_the_host_is_read(tmp_path: Path) -> None:
    first = machine.readings(tmp_path / "not" / "there")
    assert first.busy_since(None) is None
    assert first.busy_since(first) is None
    later = replace(first, at=first.at + 2, busy_seconds=first.busy_seconds + 1)
    assert later.busy_since(first) == pytest.approx(min(0.5, first.cores))
    assert replace(later, busy_seconds=first.busy_seconds + 99).busy_since(first) == first.cores
    assert 0 < first.memory_available <= first.memory_total
    assert 0 <= first.disk_free <= first.disk_total


@pytest.mark.parametrize("options", [[], ["--once"], ["--json", "--once"]])
def test_without_an_engine_it_says_so(tmp_path: Path, options: list[str]) -> None:
    done = Corral(tmp_path / "home", {"DOCKER_HOST": f"unix://{tmp_path}/none"})("top", *options)
    assert (done.code, done.out) == (3, "")
    assert "no container engine answers" in done.err
    assert not (tmp_path / "home").exists()


def measured_run() -> RunState:
    told = life(str(LONG.key), "accepted")
    used = Used(cpu_seconds=90.0, throttled=0.5, peak_working_set=700 * MIB, most_pids=40, oom_kills=1)
    ends = [one.model_copy(update={"used": used}) if isinstance(one, e.AttemptEnded) else one for one in told]
    return after(started(make_plan(LONG)), *ends)


def test_what_an_attempt_used_is_shown_and_told() -> None:
    state = measured_run()
    one = state.attempts[LONG.key]
    rows = tuple(Sample(float(n), cpu_seconds=n * n / 10, memory=n * MIB) for n in range(1, 9))
    text = drawn(report.attempt(state, one, Path("log"), Record(0.0, "b", samples=rows)), 120)
    for words in (
        "1min30s, stopped by its limit in 50% of its periods",
        "at most 700MiB; 1 process killed",
        "at most 40",
        "cpu ?, memory ?, io ?",
        "▁▂▃▄▅▆▇█ at most 1.5 of",
        "▁▂▃▄▅▆▇█ at most 8MiB of",
    ):
        assert words in text, text
    row: dict[str, Any] = dict(summary.attempt_row(state, one))
    assert row["used"]["throttled"] == 0.5
    assert row["used"]["read_bytes"] is None


def test_what_lives_is_told_until_now() -> None:
    state = after(started(make_plan(LONG)), *life(str(LONG.key), "accepted")[:2])
    record = Record(0.0, "b", samples=(Sample(1.0, cpu_seconds=1.0, memory=5 * MIB),))
    text = drawn(report.attempt(state, state.attempts[LONG.key], Path("log"), record), 120)
    assert "at most 5MiB" in text
    bare = drawn(report.attempt(state, state.attempts[LONG.key], Path("log")), 120)
    assert "working set" not in bare


def test_old_journals_know_nothing_of_it() -> None:
    old = e.ADAPTER.validate_python({"kind": "attempt.ended", "at": 1, "attempt": "a/p/1", "ended": "exited"})
    assert isinstance(old, e.AttemptEnded)
    assert old.used is None
    assert AttemptKey.parse(old.attempt).task == "a"


@given(st.lists(st.none() | st.floats(0, 1e12), max_size=60))
def test_a_drawing_has_a_character_a_value(values: list[float | None]) -> None:
    text = measured.spark(values)
    assert len(text) == len(values)
    assert [char == "?" for char in text] == [value is None for value in values]
    known = [value for value in values if value is not None]
    if known and max(known) > 0:
        assert text[values.index(max(known))] == "█"
