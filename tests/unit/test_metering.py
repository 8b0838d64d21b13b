"""The record of what an attempt's boxes used: bounded, exact in sum, whole after a crash, always readable."""

from __future__ import annotations

import resource
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.sandbox.pressure import Pressure, Stall
from runner.sandbox.usage import Usage
from runner.supervisor.attempt import metering, samples
from runner.supervisor.attempt.metering import Meter, look
from runner.supervisor.attempt.samples import COUNTERS, GAUGES, Record, Sample, Used, decode, in_all, merged

KIB = 1024
BOX, OTHER = "0123456789abcdef", "fedcba9876543210"


def usage(seconds: float, memory: int = 5 * KIB, **more: int) -> Usage:
    waited = Stall(0.0, None, seconds / 10, None)
    return Usage(
        cpu_seconds=seconds,
        throttled_seconds=seconds / 2,
        periods=round(seconds * 10),
        throttled_periods=round(seconds * 5),
        memory=memory,
        pids=3,
        oom_kills=0,
        read_bytes=round(seconds * 100),
        written_bytes=round(seconds * 10),
        pressure=Pressure(cpu=waited, memory=waited, io=waited),
        **more,
    )


class Clock:
    """A clock that passes a second at each look at a box."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1_000_000.0
        clock = SimpleNamespace(time=lambda: self.now, monotonic=lambda: self.now - 900_000)
        monkeypatch.setattr(metering, "time", clock)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


@contextmanager
def meter(file: Path, box: str = BOX, most: int = 8) -> Iterator[Meter]:
    with Meter(file, box, lambda: 7 * KIB, most) as made:
        yield made


def test_what_a_box_used(tmp_path: Path, clock: Clock) -> None:
    file = tmp_path / "usage" / "t+p+1"
    with meter(file) as made:
        for second in (1, 2, 3):
            clock.now += 1
            made.note(usage(second, memory=second * KIB, peak_pids=9))
        clock.now += 1
        made.note(usage(3, memory=KIB))
    record = look(file)
    assert record is not None
    assert metering.glance(file) == replace(record, samples=record.samples[-1:])
    assert (record.began, record.box, record.stride) == (1_000_000.0, BOX[:12], 1)
    assert [sample.at for sample in record.samples] == [1, 2, 3, 4]
    assert in_all(record) == Used(
        cpu_seconds=3,
        throttled=0.5,
        throttled_seconds=1.5,
        peak_working_set=3 * KIB,
        read_bytes=300,
        written_bytes=30,
        most_pids=9,
        pid_refusals=None,
        oom_kills=0,
        disk_used=7 * KIB,
        cpu_waited=0.3,
        memory_waited=0.3,
        io_waited=0.3,
    )


def test_a_record_of_any_length_is_bounded_and_exact_in_sum(tmp_path: Path, clock: Clock) -> None:
    file, most = tmp_path / "usage", 8
    largest = Record(0, "").size(most)
    with meter(file, most=most) as made:
        for second in range(1, 1001):
            clock.now += 1
            made.note(usage(second, memory=(600 if second == 500 else 1) * KIB))
            assert file.stat().st_size <= largest
    record = look(file)
    assert record is not None
    assert record.stride == 256
    assert [sample.at for sample in record.samples] == sorted({s.at for s in record.samples})
    assert record.last.at == 1000
    used = in_all(record)
    assert (used.cpu_seconds, used.peak_working_set, used.read_bytes) == (1000, 600 * KIB, 100_000)


def test_a_later_process_goes_on_and_another_box_adds_up(tmp_path: Path, clock: Clock) -> None:
    file = tmp_path / "usage"
    with meter(file) as made:
        clock.now += 1
        made.note(usage(5, memory=8 * KIB))
    clock.now += 60
    with meter(file) as made:  # the same box: its own counts went on
        clock.now += 1
        made.note(usage(7))
    with meter(file, OTHER) as made:  # another one: its counts begin with nothing
        clock.now += 1
        made.note(usage(2))
    record = look(file)
    assert record is not None
    assert [sample.at for sample in record.samples] == [1, 62, 63]
    assert [sample.cpu_seconds for sample in record.samples] == [5, 7, 9]
    assert (in_all(record).cpu_seconds, in_all(record).peak_working_set) == (9, 8 * KIB)
    with meter(file, OTHER) as made:
        clock.now += 1
        made.note(usage(3))
    again = look(file)
    assert again is not None
    assert in_all(again).cpu_seconds == 10


@pytest.mark.parametrize("torn", [1, samples.SIZE - 1])
def test_a_torn_end_is_harmless(tmp_path: Path, clock: Clock, torn: int) -> None:
    file = tmp_path / "usage"
    with meter(file) as made:
        for second in (1, 2):
            clock.now += 1
            made.note(usage(second))
    file.write_bytes(file.read_bytes()[:-torn])
    record = look(file)
    assert record is not None
    assert [sample.at for sample in record.samples] == [1]
    with meter(file) as made:
        clock.now += 1
        made.note(usage(3))
    after = look(file)
    assert after is not None
    assert [sample.cpu_seconds for sample in after.samples] == [1, 3]


def test_zeros_after_a_crash_of_the_host_are_no_samples(tmp_path: Path, clock: Clock) -> None:
    file = tmp_path / "usage"
    with meter(file) as made:
        clock.now += 1
        made.note(usage(4))
    file.write_bytes(file.read_bytes() + bytes(2 * samples.SIZE))
    record = look(file)
    assert record is not None
    assert in_all(record).cpu_seconds == 4


def test_a_clock_that_is_put_back_tears_nothing(tmp_path: Path, clock: Clock) -> None:
    file = tmp_path / "usage"
    with meter(file) as made:
        clock.now += 50
        made.note(usage(1))
    clock.now -= 500
    with meter(file) as made:
        clock.now += 1
        made.note(usage(2))
    record = look(file)
    assert record is not None
    assert [sample.at for sample in record.samples] == [50, 51]


def test_without_room_nothing_is_kept_and_nothing_fails(tmp_path: Path, clock: Clock) -> None:
    file = tmp_path / "usage" / "t+p+1"
    (tmp_path / "usage").write_text("in the way")
    with meter(file) as made:
        clock.now += 1
        made.note(usage(1))
        assert look(file) is None
        (tmp_path / "usage").unlink()  # then there is room again
        clock.now += 1
        made.note(usage(2))
    record = look(file)
    assert record is not None
    assert in_all(record).cpu_seconds == 2


def test_a_disk_that_fills_up_tears_no_sample(tmp_path: Path, clock: Clock) -> None:
    """A limit on the size of files stands for it: of the next sample only five bytes can be written."""
    file = tmp_path / "usage"
    with meter(file) as made:
        clock.now += 1
        made.note(usage(1))
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (file.stat().st_size + 5, hard))
        try:
            clock.now += 1
            made.note(usage(2))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        clock.now += 1
        made.note(usage(3))
    record = look(file)
    assert record is not None
    assert [sample.cpu_seconds for sample in record.samples] == [1, 3]


def test_a_meter_holds_no_record_in_memory(tmp_path: Path, clock: Clock) -> None:
    """Fifty boxes are measured through a whole night."""
    with meter(tmp_path / "usage", most=samples.MOST) as made:
        made.note(usage(1))
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        for second in range(1500):
            clock.now += 1
            made.note(usage(second))
        grown = tracemalloc.get_traced_memory()[0] - before
        tracemalloc.stop()
    assert grown < 10_000


def test_foreign_files_are_no_records(tmp_path: Path) -> None:
    assert look(tmp_path / "none") is None
    assert metering.glance(tmp_path / "none") is None
    (tmp_path / "short").write_bytes(b"x" * 40)
    assert metering.glance(tmp_path / "short") is None
    for content in (b"", b"x" * 10, b"x" * 500, bytes(500)):
        assert decode(content) is None


WHOLE = st.integers(0, 2**40)
SAMPLES = st.builds(
    Sample,
    at=st.just(0.0),
    **{name: st.none() | st.integers(0, 10**6) for name in COUNTERS},
    **{name: st.none() | st.integers(0, 10**6).map(lambda n: n * KIB) for name in GAUGES},
)


@given(st.lists(SAMPLES, max_size=20), st.text("0123456789abcdef", max_size=12))
def test_a_record_survives_the_file_and_halving(made: list[Sample], box: str) -> None:
    rows = tuple(replace(sample, at=float(n + 1)) for n, sample in enumerate(made))
    record = Record(123.5, box, Sample(), 1, rows)
    assert decode(record.encode()) == record
    halved = record.halved()
    assert len(halved.samples) == (len(rows) + 1) // 2
    assert in_all(halved) == in_all(record)
    assert halved.last.at == record.last.at


@given(st.binary(max_size=400), st.integers(0, 300))
def test_no_bytes_break_a_reader(content: bytes, cut: int) -> None:
    decode(content)
    whole = Record(0, "a", samples=(Sample(1.0), Sample(2.0))).encode()
    decode(whole[:cut] + content)


def test_merging_keeps_the_most() -> None:
    first = Sample(1, memory=5, pids=None, cpu_seconds=1, disk=3)
    second = Sample(2, memory=4, pids=2, cpu_seconds=None, disk=None)
    assert merged(first, second) == Sample(2, memory=5, pids=2, cpu_seconds=1, disk=3)


def test_the_course_of_an_attempt() -> None:
    rows = [
        Sample(t, cpu_seconds=c, memory=m, read_bytes=10 * t) for t, c, m in ((1, 1, 5), (2, 3, 9), (4, 3, 2))
    ]
    seen = samples.course(Record(50.0, "b", samples=tuple(rows)), 4)
    assert seen.began == 50.0
    assert seen.step == pytest.approx(4 / 3)
    assert seen.memory == (9, 9, 2)  # the second look tells of the first step, too
    assert seen.cores == pytest.approx(((1 + 2 / 3) / (4 / 3), (2 - 2 / 3) / (4 / 3), 0))
    assert seen.read == pytest.approx((10, 10, 10))
    assert seen.pids == (None, None, None)
    assert seen.written == (None, None, None)


def test_a_course_has_no_holes_but_those_in_which_nobody_looked() -> None:
    looks = [1.06, 2.11, 3.4, 4.2, 5.9, 6.1, 7.3, 60.0, 61.2]
    record = Record(0.0, "b", samples=tuple(Sample(at, memory=n + 1) for n, at in enumerate(looks)))
    early = replace(record, samples=record.samples[:7])
    assert samples.course(early, 48).memory == (1, 2, 3, 4, 5, 7, 7)
    assert samples.course(record, 48).memory == (7, 7, None, None, None, None, None, None, 9)


def test_the_course_of_nothing() -> None:
    assert samples.course(Record(50.0, "b"), 4).memory == ()


def test_what_was_told_before_stays_told() -> None:
    """What a box used after its last look is not known, and not known twice."""
    record = Record(0, "b", samples=(Sample(1, cpu_seconds=1), Sample(2)))
    assert in_all(record) == Used(cpu_seconds=1)
    assert samples.course(record, 2).cores == (1, None)
