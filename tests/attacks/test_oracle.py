"""The oracle itself: each of its promises is broken here once, and it says so."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.attacks import oracle, trace
from tests.attacks.oracle import PROMISES, Seen, Stakes
from tests.attacks.trace import Started
from tests.support import git

BOX: dict[str, Any] = {
    "Name": "/box",
    "Config": {"Labels": {"corral.role": "agent"}},
    "HostConfig": {"NetworkMode": "none"},
    "Mounts": [],
}


@pytest.fixture
def quiet(stakes: Stakes) -> Seen:
    """A night in which nothing happened."""
    before = oracle.look(stakes)
    return Seen(
        stakes, "r", before, before, {"output": "text"}, (Started("git", '"git"', ("/",)),), {"c": BOX}
    )


def box(**changes: Any) -> dict[str, dict[str, Any]]:
    return {"c": {**BOX, **changes}}


def after(seen: Seen, **changes: Any) -> Seen:
    return replace(seen, after=replace(seen.after, **changes))


def written(seen: Seen, name: str, text: str = "x") -> Seen:
    """The same night, with a file that was written in it, looked at anew."""
    file = seen.stakes.folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return replace(seen, after=oracle.look(seen.stakes))


def branch(seen: Seen, ref: str) -> Seen:
    git(seen.stakes.repo, "update-ref", ref, "main")
    return replace(seen, after=oracle.look(seen.stakes))


Broken = tuple[str, Callable[[Seen], Seen]]
BROKEN: list[Broken] = [
    ("the repository is unchanged", lambda seen: written(seen, f"{seen.stakes.repo.name}/.git/hooks/x")),
    ("the repository is unchanged", lambda seen: written(seen, f"{seen.stakes.repo.name}/a.txt", "changed")),
    ("the host's files are unchanged", lambda seen: written(seen, "user/.bashrc", "changed")),
    ("the host's files are unchanged", lambda seen: written(seen, "outside/new")),
    ("only branches of the run are new", lambda seen: branch(seen, "refs/tags/new")),
    ("only branches of the run are new", lambda seen: branch(seen, "refs/heads/corral/other/x")),
    ("only branches of the run are new", lambda seen: after(seen, refs=frozenset())),
    ("nothing of a box ran on the host", lambda seen: written(seen, "PWNED-01")),
    *[
        ("nothing is left behind", lambda seen, kind=kind: after(seen, **{kind: frozenset({"x"})}))
        for kind in ("containers", "volumes", "networks", "mounts", "loops", "processes")
    ],
    ("nothing is left behind", lambda seen: written(seen, "home/w/x")),
    ("the key is nowhere", lambda seen: replace(seen, texts={"output": f"a {seen.stakes.key} b"})),
    ("the key is nowhere", lambda seen: written(seen, "home/runs/log", seen.stakes.key)),
    ("the key is nowhere", lambda seen: replace(seen, containers=box(Env=[seen.stakes.key]))),
    ("only known programs were started", lambda seen: replace(seen, started=(Started("sh", "", ()),))),
    (
        "none of them worked where a box writes",
        lambda seen: replace(seen, started=(Started("git", "", (f"{seen.stakes.home}/w/x",)),)),
    ),
    (
        "containers are given our places alone",
        lambda seen: replace(seen, containers=box(Mounts=[{"Type": "bind", "Source": "/etc"}])),
    ),
    (
        "no container has a network",
        lambda seen: replace(seen, containers=box(HostConfig={"NetworkMode": "bridge"})),
    ),
]


def test_every_promise_is_broken_below() -> None:
    assert {promise for promise, _ in BROKEN} == set(PROMISES)


def test_a_quiet_night_breaks_none(quiet: Seen, promise: str) -> None:
    assert oracle.broken(promise, quiet) == []


@pytest.mark.parametrize(("name", "breaking"), BROKEN, ids=[name for name, _ in BROKEN])
def test_a_broken_promise_is_seen(quiet: Seen, name: str, breaking: Callable[[Seen], Seen]) -> None:
    seen = breaking(replace(quiet, before=oracle.look(quiet.stakes)))
    assert oracle.broken(name, seen) != []
    (quiet.stakes.folder / "PWNED-01").unlink(missing_ok=True)
    for left in ("home/w/x", "home/runs/log"):
        (quiet.stakes.folder / left).unlink(missing_ok=True)


@pytest.mark.skipif(not trace.works(), reason="strace is not installed, or may not trace here")
def test_programs_are_traced(stakes: Stakes) -> None:
    """A shell that changes directory and starts a program → both are noted, under their names."""
    folder = stakes.folder / "traced"
    subprocess.run([*trace.prefix(folder), "sh", "-c", "cd /tmp && env true"], check=True)
    started = {one.program: one.directories for one in trace.read(folder)}
    assert set(started) == {"sh", "env", "true"}
    assert started["sh"] == ("/tmp",)  # noqa: S108 - where it was told to go
