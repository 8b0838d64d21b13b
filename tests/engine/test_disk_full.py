"""The disk that holds the state directory fills up: verdicts with reasons, and life goes on after it."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.engine.living import Live, living
from tests.support import QUICK, Corral, git, host_git_hashes, write_tasks

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small file system")
MEBIBYTES = 64
FILL = "echo small > a-note; head -c 200M /dev/urandom > big"


@pytest.fixture
def small(corral: Corral) -> Iterator[Corral]:
    """The command with a state directory on a file system of 64 MiB, in which nothing is left at the end."""
    corral.home.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={MEBIBYTES}m,mode=755", "corral-test", str(corral.home)]
    subprocess.run(mount, check=True)
    try:
        yield corral
        left = [str(path) for folder in "wqs" for path in (corral.home / folder).glob("*")]
    finally:
        subprocess.run(["umount", str(corral.home)], check=True)
    assert left == []


def test_a_box_on_a_host_short_of_room_gets_what_there_is(small: Corral, repo: Path) -> None:
    before = host_git_hashes(repo)
    done = small.run(repo, {"fill": FILL, "next": "touch made"}, "--jobs", "1", "--name", "short")
    assert (done.code, done.verdicts) == (1, {"fill": "disk", "next": "done"}), done.err
    row = done.attempt("fill")
    assert "all that the host had room for" in row["reason"]
    assert "disk-short" in row["flags"]
    assert git(repo, "show", f"{row['branch']}:a-note") == "small"
    assert host_git_hashes(repo) == before


def test_what_a_full_host_did_not_take_is_never_called_work(small: Corral, repo: Path) -> None:
    before = host_git_hashes(repo)
    small.env["CORRAL_ROOM_PATIENCE"] = "1s"  # nobody makes room before that
    with full_while_a_box_writes(small, repo) as run:
        assert run.end() == 3
    row = run.events[-1]["attempts"][0]
    assert (row["verdict"], row["branch"]) == ("infrastructure", None)
    assert "No space left" in row["reason"]
    assert left_on_disk(row)
    assert small("status", "--json").json["attempts"] == run.events[-1]["attempts"]
    tried = small("reap")
    if tried.code == 0:  # what arrived is small enough, or the disk is damaged and kept as it is
        assert any((small.home / "kept").iterdir())
    else:
        assert (tried.code, "No space left" in tried.err) == (3, True), tried.err
        assert left_on_disk(row)
    resize(small.home, "256m")
    assert small("reap").code == 0
    assert any((small.home / "kept").iterdir())
    after = small.run(repo, {"later": "touch made"})
    assert (after.code, after.verdicts) == (0, {"later": "done"}), after.err
    assert host_git_hashes(repo) == before


@contextmanager
def full_while_a_box_writes(small: Corral, repo: Path) -> Iterator[Live]:
    """A run in which somebody else takes all of the host's room before the box writes."""
    write = "until test -e /workspace/a.txt; do sleep 0.1; done; sleep 2; head -c 12M /dev/urandom > big"
    limits = {**QUICK, "disk": "16MiB"}
    file = write_tasks(repo.parent / "t.yaml", repo, {"fill": write}, limits=limits)
    with living(small, "run", file) as run:
        run.until("attempt.running")
        taken = small.home / "taken"
        with contextlib.suppress(OSError), taken.open("wb") as stream:
            while True:
                stream.write(bytes(2**20))
        yield run
    taken.unlink()


def left_on_disk(row: dict[str, Any]) -> bool:
    """Whether the attempt's disk is left, where its row says."""
    assert row["kept"] in row["reason"]
    return (Path(row["kept"]) / "agent.ext4").is_file()


def resize(home: Path, size: str) -> None:
    """Make room, as a person would."""
    subprocess.run(["mount", "-o", f"remount,size={size}", str(home)], check=True)
