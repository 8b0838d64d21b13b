"""What the kernel tells of a host, read from captured and made-up trees; what it does not tell is unknown."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.sandbox.facts import EngineFacts, engine_facts
from runner.sandbox.pressure import Pressure
from runner.supervisor.host import machine
from runner.supervisor.host.facts import Processes, tasks_of

CAPTURED = Path(__file__).parent / "captured" / "hosts"


def engine(memory: int, cpus: int = 3, root: str = "/nowhere") -> EngineFacts:
    return engine_facts({"MemTotal": memory, "NCPU": cpus, "DockerRootDir": root}, {})


@given(st.text())
def test_whatever_stands_there_is_read_or_unknown(text: str) -> None:
    assert tasks_of(text) is None or isinstance(tasks_of(text), int)


def test_how_many_tasks_there_are() -> None:
    assert tasks_of((CAPTURED / "loadavg").read_text()) == 481


def test_this_host_is_seen_as_it_is(tmp_path: Path) -> None:
    host = machine.look(tmp_path / "not" / "there" / "yet")
    assert host.cores == psutil.cpu_count()
    assert host.memory_total == psutil.virtual_memory().total
    assert 0 < (host.memory_free or 0) < host.memory_total
    (disk,) = host.disks
    assert disk.place == str(tmp_path / "not" / "there" / "yet")
    assert 0 < disk.free < disk.total
    assert host.disk_free == disk.free
    if Path("/proc/loadavg").exists():
        assert (host.processes.used or 0) > len(psutil.pids()) / 2
        assert (host.processes.most or 0) > (host.processes.used or 0)


def test_an_engine_elsewhere_has_its_own_memory_and_what_is_free_of_it_is_unknown(tmp_path: Path) -> None:
    total = psutil.virtual_memory().total
    host = machine.look(tmp_path, engine(memory=total * 3))
    assert (host.memory_total, host.memory_free, host.cores) == (total * 3, None, 3)
    assert (host.load, host.processes, host.pressure) == (None, Processes(), Pressure())
    assert machine.look(tmp_path, engine(memory=int(total * 0.98))).memory_free is not None, "it is this host"


def test_the_engines_disk_is_named_where_it_is_another_one(tmp_path: Path) -> None:
    assert len(machine.look(tmp_path, engine(0, root=str(tmp_path))).disks) == 1
    if Path("/proc").stat().st_dev != tmp_path.stat().st_dev:  # any other file system will do
        mine, engines = machine.look(tmp_path, engine(0, root="/proc")).disks
        assert (mine.is_engines, engines.is_engines, engines.place) == (False, True, "/proc")
    assert len(machine.look(tmp_path, engine(0, root="/not/here")).disks) == 1


def groups(folder: Path, rows: dict[str, tuple[str, str]]) -> None:
    for path, (most, used) in rows.items():
        (folder / path).mkdir(parents=True, exist_ok=True)
        (folder / path / "pids.max").write_text(most)
        (folder / path / "pids.current").write_text(used)


@pytest.mark.parametrize(
    ("told", "below"),
    [
        ("9:name=systemd:/x\n8:pids:/user.slice/me\n0::/\n", "pids/"),
        ("0::/user.slice/me\n", ""),
    ],
    ids=["version 1", "version 2"],
)
def test_a_group_and_those_above_it_bound_what_this_program_may_start(
    tmp_path: Path, told: str, below: str
) -> None:
    proc, root = tmp_path / "proc", tmp_path / "cgroup"
    (proc / "self").mkdir(parents=True)
    (proc / "self" / "cgroup").write_text(told)
    assert machine.own_tasks_left(proc, root) is None
    groups(root, {f"{below}user.slice": ("500\n", "480\n"), f"{below}user.slice/me": ("max\n", "30\n")})
    assert machine.own_tasks_left(proc, root) == 20
    groups(root, {f"{below}user.slice/me": ("35\n", "30\n")})
    assert machine.own_tasks_left(proc, root) == 5
