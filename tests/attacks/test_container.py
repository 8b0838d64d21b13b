"""Cases 36 to 50: resources, and what a container can reach.

43 to 45 are in `test_syscalls`; 50, a supervisor killed at any instant, is `tests/engine/test_resume.py`, and
46, a dev container that asks for the host, is at the end. That a neighbour lives on beside every one of these
is a task of its own.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.attacks import night as nights
from tests.attacks import oracle
from tests.attacks.container_attacks import DISK, MIB, PIDS, SMALL, attacks
from tests.attacks.night import Night
from tests.attacks.oracle import Stakes
from tests.engine.living import living
from tests.support import Corral, git, make_repo, write_tasks

ENOSPC, EAGAIN = 28, 11
MOST_LOG = 21 * MIB
MOST_MEMORY = 200 * MIB


@pytest.fixture(scope="module")
def night(stakes: Stakes) -> Night:
    """One run of all of them."""
    return nights.night(stakes, attacks(), limits=SMALL)


def test_the_promises_hold(night: Night, promise: str) -> None:
    assert oracle.broken(promise, night.seen) == []


def number(night: Night, task: str, word: str) -> int:
    """The number that a task printed after a word."""
    found = re.search(rf"^{word} (\d+)", night.log(task), re.MULTILINE)
    assert found, night.log(task)[-2000:]
    return int(found[1])


def test_a_neighbour_lives(night: Night) -> None:
    assert night.row("neighbour")["verdict"] == "done"
    assert night.content("neighbour", "made") == "made"


@pytest.mark.parametrize("kind", ["forks", "zombies"])
def test_case_36_processes(night: Night, kind: str) -> None:
    """Fork without end, or leave zombies → refused at the limit, and all of them end with the box."""
    assert 10 < number(night, f"36-{kind}", kind) < PIDS
    assert f" {EAGAIN}\n" in night.log(f"36-{kind}")
    assert night.row(f"36-{kind}")["verdict"] == "no-change"


def test_case_37_memory_of_the_main_process(night: Night) -> None:
    """Take all memory → killed at the limit, and the verdict says so."""
    assert night.row("37-main")["verdict"] == "oom"


def test_case_37_memory_of_a_child(night: Night) -> None:
    """A child takes all memory and its parent goes on → the work comes home, flagged."""
    row = night.row("37-child")
    assert (row["verdict"], night.content("37-child", "made")) == ("done", "made")
    assert "oom-killed-child" in row["flags"]


def test_case_37_memory_as_files(night: Night) -> None:
    """Fill /tmp and /dev/shm → both are bounded, and count against the memory limit."""
    assert night.row("37-tmp")["verdict"] in {"oom", "agent-error"}
    assert number(night, "37-shm", "shm") <= 256 * MIB
    assert night.row("37-shm")["verdict"] in {"oom", "no-change"}


def test_case_38_bytes(night: Night) -> None:
    """Fill the disk → the box gets an error, the verdict says so, and what was made comes home."""
    row = night.row("38-bytes")
    assert (row["verdict"], night.content("38-bytes", "made")) == ("disk", "small")
    assert "over its 64MiB of disk" in row["reason"]


def test_case_38_files(night: Night) -> None:
    """Make files until no more can be made → refused at the limit."""
    assert 1000 < number(night, "38-files", "files") < 8192
    assert f" {ENOSPC}\n" in night.log("38-files")


def test_case_38_deleted_but_open_files(night: Night) -> None:
    """Fill the disk with files that have no name → they count."""
    assert number(night, "38-unlinked", "held") <= DISK
    assert f" {ENOSPC}\n" in night.log("38-unlinked")


def test_case_38_sparse_and_deep(night: Night) -> None:
    """A file of 1 TiB without content, directories deeper than any path → a verdict, nothing left."""
    assert night.content("38-sparse", "made") == "small"
    assert "not in the branch" in night.words("38-sparse")
    assert "deep\n" in night.log("38-deep")
    assert night.row("38-deep")["verdict"] in {"no-change", "disk"}


def test_case_40_nothing_lives_on(night: Night) -> None:
    """Five daemons that ignore signals write on → not after the box's end, and never into the branch."""
    row = night.row("40-daemons")
    (ended,) = (event["at"] for event in night.events("40-daemons") if event["kind"] == "attempt.ended")
    beats = [float(night.content("40-daemons", f"beat-{number}")) for number in range(5)]
    assert row["verdict"] == "done"
    assert max(beats) <= ended


def test_case_41_setuid_files_and_devices(night: Night) -> None:
    """Setuid files and device nodes → no device can be made, and no bit acts where such a file lies."""
    log = night.log("41-files")
    assert "device" not in log
    mounted = [line for line in log.splitlines() if line.startswith("mounted ")]
    assert len(mounted) == 4
    assert all("nosuid" in line and "nodev" in line for line in mounted), mounted
    tree = git(night.repo, "ls-tree", night.row("41-files")["branch"]).splitlines()
    assert {line.split()[0] for line in tree if "\ts" in line} == {"100755"}


def test_case_42_no_core_is_written(night: Night) -> None:
    """Abort with a large memory → no core file, and the limit can't be raised."""
    assert "core limit (0, 0)" in night.log("42-core")
    assert "refused" in night.log("42-core")
    assert night.files("42-core") == {"made": "A"}


def test_case_47_cpu_is_bounded(night: Night) -> None:
    """Burn on eight processes with `sync` → no more than its share, and no higher priority."""
    row = night.row("47-burn")
    assert "nice refused" in night.log("47-burn")
    assert row["verdict"] == "no-change"
    used = [event["cpu_seconds"] for event in night.events("47-burn") if event["kind"] == "attempt.ended"]
    assert used[0] is None or used[0] <= row["seconds"] * 1.25 + 0.5


def test_case_48_nothing_of_the_host_is_there(night: Night) -> None:
    """Search the whole file system → no engine's socket, no disk, no other process, no other task."""
    log = night.log("48-search")
    assert "searched" in log
    sockets = [line for line in log.splitlines() if line.startswith("socket ")]
    assert sockets in ([], ["socket /run/gw/gw.sock"])  # its own way to a model, where a key is set
    assert "block " not in log
    processes = next(line for line in log.splitlines() if line.startswith("processes "))
    assert len(processes.split()) <= 6


def test_case_49_no_cache_is_shared(night: Night) -> None:
    """Leave a file wherever that is possible → the next box finds none of them."""
    assert "wrote /home/agent" in night.log("49-poison")
    assert "looked" in night.log("49-victim")
    assert "found" not in night.log("49-victim")


def test_many_files_and_special_files(night: Night) -> None:
    """100,000 files; pipes, sockets, links and what can't be read → the files come home, the rest is said."""
    assert night.row("many")["verdict"] == "done"
    assert night.row("many")["files"] == 100_000
    row = night.row("special")
    assert night.content("special", "made") == "made"
    assert row["verdict"] == "done"
    assert "not in the branch" in night.words("special")
    names = git(night.repo, "ls-tree", "--name-only", row["branch"]).splitlines()
    assert not any(name.startswith(("pipe", "socket", "sparse")) for name in names)


FLOODS = {
    "lines": "timeout 6 yes 'a line of output that never ends'",
    "long-line": "head -c 200M /dev/zero | tr '\\0' x; echo",
    "zeros": "timeout 3 cat /dev/zero",
    "stderr": "timeout 3 yes 'error' >&2",
    "drip": "for i in 1 2 3 4 5 6 7 8; do printf .; sleep 1; done",
}


def test_case_39_floods_of_output(corral: Corral, repo: Path) -> None:
    """Print without end, a line of 200 MB, zeros, a byte a second → bounded on disk and in memory."""
    peak = 0
    file = write_tasks(repo.parent / "t.yaml", repo, {t: f"{sh}; echo m > made" for t, sh in FLOODS.items()})
    with living(corral, "run", file, "--jobs", "3") as run:
        run.until("run.started")
        status = Path(f"/proc/{run.process.pid}/status")
        for event in run._lines:  # as they come
            run.events.append(event)
            found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text()) if status.exists() else None
            peak = max(peak, int(found[1]) * 1024 if found else 0)
        assert run.end() == 0
    assert {row["verdict"] for row in run.rows().values()} == {"done"}
    logs = list((corral.home / "runs").glob("*/logs/*.log"))
    assert len(logs) == len(FLOODS)
    assert max(log.stat().st_size for log in logs) <= MOST_LOG
    assert 0 < peak < MOST_MEMORY


@pytest.mark.parametrize(
    "asks",
    [
        '"initializeCommand": "touch PWNED"',
        '"runArgs": ["--privileged"]',
        '"mounts": ["source=/var/run/docker.sock,target=/var/run/docker.sock,type=bind"]',
        '"capAdd": ["SYS_ADMIN"]',
        '"privileged": true',
        '"dockerComposeFile": "compose.yaml"',
        '"securityOpt": ["seccomp=unconfined"]',
    ],
)
def test_case_46_a_dev_container_that_asks_for_the_host(corral: Corral, tmp_path: Path, asks: str) -> None:
    """A repository's dev container wants what is the host's → refused by the key's name, nothing is run."""
    repo = make_repo(tmp_path / "asking", {".devcontainer/devcontainer.json": f'{{"image": "x", {asks}}}'})
    done = corral.run(repo, {"a": "true"}, image={"devcontainer": True})
    assert done.code == 2, done.err
    assert asks.split('"')[1] in done.err
    assert not list(tmp_path.rglob("PWNED*"))
