"""The disk that holds the state directory fills up: verdicts with reasons, and life goes on after it."""

from __future__ import annotations

import os
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import Corral, Done, host_git_hashes

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


def test_an_agent_that_fills_the_disk_gets_a_verdict_and_its_work_is_kept(small: Corral, repo: Path) -> None:
    before = host_git_hashes(repo)
    done = small.run(repo, {"fill": FILL, "next": "touch made"}, "--jobs", "1", "--name", "full")
    assert (done.code, "Traceback" in done.err) == (3, False), done.err
    assert {row["verdict"] for row in done.summary["attempts"]} == {"infrastructure"}
    assert all("No space left" in row["reason"] for row in done.summary["attempts"])
    assert kept(done)
    assert small("status", "--json").json["attempts"] == done.summary["attempts"]
    resize(small.home, "256m")
    assert small("reap").code == 0
    assert any("a-note" in names(archive) for archive in (small.home / "kept").iterdir())
    after = small.run(repo, {"later": "touch made"})
    assert (after.code, after.verdicts) == (0, {"later": "done"}), after.err
    assert host_git_hashes(repo) == before


def test_reap_loses_nothing_while_the_disk_is_full(small: Corral, repo: Path) -> None:
    done = small.run(repo, {"fill": FILL})
    refused = small("reap")
    assert (refused.code, "No space left" in refused.err) == (3, True), refused.err
    assert kept(done)
    assert not any((small.home / "kept").iterdir())
    resize(small.home, "256m")
    assert small("reap").code == 0


def kept(done: Done) -> bool:
    """Whether the disk of the first attempt is left, where its row says."""
    row = done.summary["attempts"][0]
    assert row["kept"] in row["reason"]
    return (Path(row["kept"]) / "agent.ext4").is_file()


def names(archive: Path) -> list[str]:
    """The names of the files in an archive."""
    with tarfile.open(archive) as files:
        return [Path(name).name for name in files.getnames()]


def resize(home: Path, size: str) -> None:
    """Make room, as a person would."""
    subprocess.run(["mount", "-o", f"remount,size={size}", str(home)], check=True)
