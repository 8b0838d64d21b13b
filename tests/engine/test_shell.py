"""`corral shell`: a box of one's own on a copy of an attempt's work, without a way out."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import time
from pathlib import Path

from runner.settings import BOX_UID
from tests.support import CORRAL, Corral, host_git_hashes


def test_it_shows_the_work_and_takes_nothing_back(corral: Corral, repo: Path) -> None:
    done = corral.run(repo, {"a": "echo made > made", "b": "exit 1"})
    before, branch = host_git_hashes(repo), done.attempt("a")["commit"]
    seen = corral("shell", "a", "--", "sh", "-c", "cat made; id -u; ls /sys/class/net; echo x > y; exit 7")
    assert (seen.code, seen.out.splitlines()) == (7, ["made", str(BOX_UID), "lo"]), seen.err
    again = corral("shell", "a", "--", "ls")
    assert again.out.split() == ["a.txt", "made"]
    assert corral("shell", "b", "--", "ls").out.split() == ["a.txt"]
    assert corral("show", "a", "--json").json["commit"] == branch
    assert host_git_hashes(repo) == before
    assert [row["run"] for row in corral("status", "--all", "--json").json] == [done.summary["run"]]


def test_a_person_types_at_a_terminal(corral: Corral, repo: Path) -> None:
    corral.run(repo, {"a": "echo made > made"})
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*CORRAL, "shell", "a"], stdin=theirs, stdout=theirs, stderr=theirs, env=corral.environment
    )
    os.close(theirs)
    try:
        until_shown(ours, b"corral: ready")
        os.write(ours, b"stty size; echo $((6 * 7))-is-it; cat made; exit 3\n")
        shown = until_shown(ours, b"42-is-it", b"made")
        assert b"24 80" in shown
        assert process.wait(timeout=60) == 3
    finally:
        process.kill()
        os.close(ours)


def until_shown(terminal: int, *words: bytes) -> bytes:
    """Read a terminal until it has shown these words."""
    shown, end = b"", time.monotonic() + 120
    while not all(word in shown for word in words):
        assert time.monotonic() < end, shown
        if select.select([terminal], [], [], 1)[0]:
            try:
                shown += os.read(terminal, 4096)
            except OSError as ended:
                raise AssertionError(shown) from ended
    return shown
