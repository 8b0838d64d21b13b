"""Resource use from control-group files of both versions, and from the engine's statistics."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.sandbox import pressure, traffic
from runner.sandbox.pressure import Pressure, Stall
from runner.sandbox.usage import Bounds, Usage, bounds, find_group, from_statistics, read

CAPTURED = Path(__file__).parent / "captured" / "cgroup-v2"
V1_PROC = """\
11:pids:/docker/abc
9:blkio:/docker/abc
7:memory:/docker/abc
4:cpu,cpuacct:/docker/abc
1:name=systemd:/docker/abc
0::/docker/abc
"""
V2_PROC = "0::/system.slice/docker-abc.scope\n"
WAITED = (
    "some avg10=12.50 avg60=6.31 avg300=5.55 total=2500000\nfull avg10=1.25 avg60=0 avg300=0 total=500000\n"
)
V1 = {
    "cpuacct/docker/abc/cpuacct.usage": "2500000000\n",
    "cpuacct/docker/abc/cpuacct.usage_user": "2000000000\n",
    "cpuacct/docker/abc/cpuacct.usage_sys": "500000000\n",
    "cpu/docker/abc/cpu.stat": "nr_periods 40\nnr_throttled 10\nthrottled_time 1500000000\nnr_bursts 0\n",
    "cpu/docker/abc/cpu.cfs_quota_us": "150000\n",
    "cpu/docker/abc/cpu.cfs_period_us": "100000\n",
    "memory/docker/abc/memory.usage_in_bytes": "5000\n",
    "memory/docker/abc/memory.max_usage_in_bytes": "9000\n",
    "memory/docker/abc/memory.limit_in_bytes": "1073741824\n",
    "memory/docker/abc/memory.stat": "cache 10\ninactive_file 7\ntotal_inactive_file 1000\n",
    "memory/docker/abc/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n",
    "pids/docker/abc/pids.current": "4\n",
    "pids/docker/abc/pids.events": "max 2\n",
    "pids/docker/abc/pids.max": "512\n",
    "blkio/docker/abc/cgroup.procs": "",
    "blkio/docker/abc/blkio.throttle.io_service_bytes": "8:0 Read 100\n8:0 Write 20\n8:0 Total 120\n",
}


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def seen(tmp_path: Path) -> Usage:
    group = find_group(7, tmp_path / "proc", tmp_path / "fs")
    assert group is not None
    return read(group, tmp_path / "proc")


def test_version_1(tmp_path: Path) -> None:
    write(tmp_path / "fs", V1)
    write(tmp_path / "proc", {"7/cgroup": V1_PROC})
    assert seen(tmp_path) == Usage(
        cpu_seconds=2.5,
        user_seconds=2.0,
        system_seconds=0.5,
        periods=40,
        throttled_periods=10,
        throttled_seconds=1.5,
        memory=4000,
        memory_used=5000,
        peak_memory=9000,
        oom_kills=3,
        pids=4,
        peak_pids=None,  # kernels before 6.1 have none: unknown, not zero
        pid_refusals=2,
        read_bytes=100,
        written_bytes=20,
        pressure=None,  # the unified hierarchy is not mounted
    )
    group = find_group(7, tmp_path / "proc", tmp_path / "fs")
    assert group is not None
    assert bounds(group) == Bounds(cpus=1.5, memory=1 << 30, pids=512)


def test_the_process_of_another_container_is_not_taken_for_a_box_s(tmp_path: Path) -> None:
    write(tmp_path / "fs", V1)
    write(tmp_path / "proc", {"7/cgroup": V1_PROC})
    assert find_group(7, tmp_path / "proc", tmp_path / "fs", "abc") is not None
    assert find_group(7, tmp_path / "proc", tmp_path / "fs", "def") is None


def test_version_1_with_the_unified_hierarchy_beside_it(tmp_path: Path) -> None:
    write(tmp_path / "fs", {**V1, "unified/docker/abc/memory.pressure": WAITED})
    write(tmp_path / "proc", {"7/cgroup": V1_PROC})
    assert seen(tmp_path).pressure == Pressure(memory=Stall(12.5, 1.25, 2.5, 0.5))


def test_version_1_adds_up_what_the_processes_moved(tmp_path: Path) -> None:
    account = (
        "rchar: 9\nwchar: 9\nsyscr: 1\nsyscw: 1\nread_bytes: {}\nwrite_bytes: {}\ncancelled_write_bytes: 5\n"
    )
    write(tmp_path / "fs", {**V1, "blkio/docker/abc/cgroup.procs": "7\n8\n9\n"})
    write(
        tmp_path / "proc",
        {"7/cgroup": V1_PROC, "7/io": account.format(100, 1), "8/io": account.format(30, 2)},
    )
    usage = seen(tmp_path)  # the third has ended between the two looks
    assert (usage.read_bytes, usage.written_bytes) == (130, 3)


def test_very_many_processes_are_not_added_up(tmp_path: Path) -> None:
    write(tmp_path, {"procs": "\n".join(map(str, range(traffic.MOST_PROCESSES + 1)))})
    write(tmp_path, {"1/io": "rchar: 1\nread_bytes: 1\nwrite_bytes: 1\n"})
    assert traffic.of_processes(str(tmp_path / "procs"), tmp_path) is None
    assert traffic.of_processes(str(tmp_path / "gone"), tmp_path) is None


def test_version_2(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "proc/7/cgroup": V2_PROC,
            "fs/system.slice/docker-abc.scope/cpu.stat": "usage_usec 1500000\nuser_usec 1\n",
            "fs/system.slice/docker-abc.scope/cpu.max": "max 100000\n",
            "fs/system.slice/docker-abc.scope/memory.current": "5000\n",
            "fs/system.slice/docker-abc.scope/memory.max": "max\n",
            "fs/system.slice/docker-abc.scope/memory.stat": "inactive_file 500\n",
        },
    )
    usage = seen(tmp_path)
    assert (usage.cpu_seconds, usage.memory) == (1.5, 4500)
    assert usage.peak_memory is None, "kernels before 5.19 have no memory.peak: unknown, not zero"
    assert usage.pressure == Pressure(), "nothing is said of pressure"
    group = find_group(7, tmp_path / "proc", tmp_path / "fs")
    assert group is not None
    assert bounds(group) == Bounds()


def test_a_real_version_2_group(tmp_path: Path) -> None:
    """As captured: what was written went through a loop device, what was read did not."""
    (tmp_path / "fs").mkdir()
    (tmp_path / "fs" / "box").symlink_to(CAPTURED)
    write(tmp_path, {"proc/7/cgroup": "0::/box\n"})
    assert seen(tmp_path) == Usage(
        cpu_seconds=4.87,
        user_seconds=4.80887,
        system_seconds=0.061129,
        periods=105,
        throttled_periods=95,
        throttled_seconds=4.58,
        memory=671744 - 8192,
        memory_used=671744,
        peak_memory=48 << 20,
        oom_kills=1,
        pids=3,
        peak_pids=12,
        pid_refusals=1,
        read_bytes=3004416,
        written_bytes=20989952,
        pressure=seen(tmp_path).pressure,
    )
    waited = seen(tmp_path).pressure
    assert waited is not None
    assert waited.cpu == Stall(20.6, 17.9, 3.368222, 2.960831)
    assert waited.io == Stall(1.09, 1.09, 0.241986, 0.241983)
    assert waited.memory == Stall(0.0, 0.0, 0.013768, 0.013768)
    group = find_group(7, tmp_path / "proc", tmp_path / "fs")
    assert group is not None
    assert bounds(group) == Bounds(cpus=0.5, memory=48 << 20, pids=12)


def test_what_can_not_be_seen_is_unknown(tmp_path: Path) -> None:
    assert find_group(7, tmp_path, tmp_path) is None
    assert from_statistics({"cpu_stats": {}, "memory_stats": {}}) == Usage()


def test_the_engines_own_statistics() -> None:
    usage = from_statistics(
        {
            "cpu_stats": {
                "cpu_usage": {"total_usage": 3_000_000_000, "usage_in_usermode": 2_000_000_000},
                "throttling_data": {"periods": 8, "throttled_periods": 2, "throttled_time": 500_000_000},
            },
            "memory_stats": {"usage": 7, "max_usage": 9, "stats": {"total_inactive_file": 2}},
            "pids_stats": {"current": 3},
            "blkio_stats": {
                "io_service_bytes_recursive": [
                    {"major": 8, "minor": 0, "op": "Read", "value": 5},
                    {"major": 8, "minor": 0, "op": "write", "value": 6},
                ]
            },
        }
    )
    assert usage == Usage(
        cpu_seconds=3.0,
        user_seconds=2.0,
        periods=8,
        throttled_periods=2,
        throttled_seconds=0.5,
        memory=5,
        memory_used=7,
        peak_memory=9,
        pids=3,
        read_bytes=5,
        written_bytes=6,
    )
    bare = from_statistics({"cpu_stats": {"cpu_usage": {"total_usage": 1}}, "blkio_stats": {}})
    assert (bare.memory, bare.pids, bare.read_bytes) == (None, None, None)


def test_what_the_last_reading_lacks_is_kept() -> None:
    first = Usage(cpu_seconds=2.0, memory=5, peak_memory=9, pids=3, read_bytes=100)
    last = Usage(memory=4, peak_memory=7, read_bytes=90).after(first)
    assert last == Usage(cpu_seconds=2.0, memory=4, peak_memory=9, pids=3, read_bytes=100)


@pytest.mark.parametrize(
    ("text", "moved"),
    [
        (None, None),
        ("", (0, 0)),
        ("8:0 rbytes=10 wbytes=20 rios=1 wios=2 dbytes=99 dios=1\n8:16 rbytes=1 wbytes=0\n", (11, 20)),
        ("253:10 253:5 rbytes=7 wbytes=0 rios=0\n8:0 \n(unknown) rbytes=1 wbytes=1\n", (8, 1)),
    ],
    ids=("unreadable", "nothing", "two", "odd"),
)
def test_what_version_2_groups_moved(text: str | None, moved: tuple[int, int] | None, tmp_path: Path) -> None:
    assert traffic.from_io_stat(text, tmp_path) == moved


def test_what_passes_through_a_device_on_another_counts_once(tmp_path: Path) -> None:
    (tmp_path / "253:0" / "slaves" / "vda").mkdir(parents=True)
    (tmp_path / "8:0" / "slaves").mkdir(parents=True)
    whole = "7:0 rbytes=50 wbytes=60\n8:0 rbytes=80 wbytes=60\n"
    assert traffic.from_io_stat(whole, tmp_path) == (80, 60)
    untold = "7:0 rbytes=50 wbytes=60\n8:0 rbytes=80 wbytes=0\n"  # what lies below is charged to nobody
    assert traffic.from_io_stat(untold, tmp_path) == (80, 60)
    assert traffic.from_io_stat("253:0 rbytes=5 wbytes=5\n8:0 rbytes=5 wbytes=5\n", tmp_path) == (5, 5)


def test_a_version_1_group_that_tells_of_no_device_tells_nothing(tmp_path: Path) -> None:
    assert traffic.from_blkio("Total 0\n", tmp_path) is None
    assert traffic.from_blkio(None, tmp_path) is None


def test_pressure() -> None:
    assert pressure.parse(WAITED) == Stall(12.5, 1.25, 2.5, 0.5)
    assert pressure.parse(WAITED.splitlines()[0]) == Stall(12.5, None, 2.5, None)
    assert pressure.parse("") is None
    assert pressure.parse("some avg10=x total=1") is None


@given(st.text(), st.text(alphabet="8:0 rbytes=wR1\nTotal Reade"))
def test_no_text_breaks_a_reader(text: str, near: str) -> None:
    for odd in (text, near):
        pressure.parse(odd)
        traffic.from_io_stat(odd)
        traffic.from_blkio(odd)
