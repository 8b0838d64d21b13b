"""Resource use from captured control-group files of both versions."""

from __future__ import annotations

from pathlib import Path

from runner.sandbox.usage import find_group, from_statistics, read

V1_PROC = """\
11:pids:/docker/abc
7:memory:/docker/abc
4:cpu,cpuacct:/docker/abc
1:name=systemd:/docker/abc
0::/
"""
V2_PROC = "0::/system.slice/docker-abc.scope\n"


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def test_version_1(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "proc/7/cgroup": V1_PROC,
            "fs/cpuacct/docker/abc/cpuacct.usage": "2500000000\n",
            "fs/memory/docker/abc/memory.usage_in_bytes": "5000\n",
            "fs/memory/docker/abc/memory.max_usage_in_bytes": "9000\n",
            "fs/memory/docker/abc/memory.stat": "cache 10\ntotal_inactive_file 1000\n",
        },
    )
    group = find_group(7, tmp_path / "proc", tmp_path / "fs")
    assert group is not None
    usage = read(group)
    assert (usage.cpu_seconds, usage.memory, usage.peak_memory) == (2.5, 4000, 9000)


def test_version_2(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "proc/7/cgroup": V2_PROC,
            "fs/system.slice/docker-abc.scope/cpu.stat": "usage_usec 1500000\nuser_usec 1\n",
            "fs/system.slice/docker-abc.scope/memory.current": "5000\n",
            "fs/system.slice/docker-abc.scope/memory.stat": "inactive_file 500\n",
        },
    )
    group = find_group(7, tmp_path / "proc", tmp_path / "fs")
    assert group is not None
    usage = read(group)
    assert (usage.cpu_seconds, usage.memory) == (1.5, 4500)
    assert usage.peak_memory is None, "kernels before 5.19 have no memory.peak: unknown, not zero"


def test_what_can_not_be_seen_is_unknown(tmp_path: Path) -> None:
    assert find_group(7, tmp_path, tmp_path) is None
    usage = from_statistics({"cpu_stats": {}, "memory_stats": {}})
    assert (usage.cpu_seconds, usage.memory, usage.peak_memory) == (None, None, None)


def test_the_engines_own_statistics() -> None:
    usage = from_statistics(
        {
            "cpu_stats": {"cpu_usage": {"total_usage": 3_000_000_000}},
            "memory_stats": {"usage": 7, "max_usage": 9},
        }
    )
    assert (usage.cpu_seconds, usage.memory, usage.peak_memory) == (3.0, 7, 9)
