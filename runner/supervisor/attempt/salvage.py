"""Bringing the work of an attempt out: all of it, or what can be had of it.

Where the quarantine refuses all of the work, what was committed is tried alone, and then the files alone.
What is left behind is said.
"""

from __future__ import annotations

import contextlib
import shutil
from typing import Literal

from runner.gather.pack import LEFT, read_out
from runner.gather.policy import Refused
from runner.gather.quarantine import Quarantine, take_in
from runner.git.base_store import BaseStore
from runner.sandbox.workspace import Workspace
from runner.supervisor.attempt.spec import AttemptSpec, Rooms, box_spec
from runner.supervisor.verdict import Work

_LOSSES: dict[Literal["tip", "files"], str] = {
    "tip": "uncommitted work was left out",
    "files": "its history was left out",
}
_SECONDS: dict[Literal["all", "tip", "files"], float] = {"all": 240, "tip": 90, "files": 150}
"""How long each may take: eight minutes in all, which only a hostile tree needs."""

Found = tuple[Work, Quarantine, tuple[str, ...]]
"""What came, where it is, and flags for what is left behind."""


def bring_out(spec: AttemptSpec, rooms: Rooms, space: Workspace, base: BaseStore) -> Found:
    """All of the work; or what was committed; or the files alone.

    Raises:
        Refused: The policy lets in none of these.
        EngineError: The gather container could not do its work.
        GitError: Git failed for a reason of the host's, such as a full disk.
    """
    shutil.rmtree(rooms.home / "q" / spec.box, ignore_errors=True)
    try:
        return _read_out(spec, rooms, space, base, "all")
    except Refused as refused:
        first = refused
    for what, loss in _LOSSES.items():
        with contextlib.suppress(Refused):
            _, found, left = _read_out(spec, rooms, space, base, what)
            if not found.is_empty:
                return "salvaged", found, (f"{loss}: {first}", *left)
    raise first


def _read_out(
    spec: AttemptSpec, rooms: Rooms, space: Workspace, base: BaseStore, what: Literal["all", "tip", "files"]
) -> Found:
    place = rooms.home / "q" / spec.box / what
    place.mkdir(parents=True)
    argv = ("/opt/corral/gather.sh", base.commit, what)
    mounts = space.gather_mounts(rooms.disks.seen(spec.box), base)
    raw = read_out(
        rooms.engine,
        box_spec(spec, rooms, "gather", argv, {"HOME": "/nonexistent"}, mounts),
        place / "pack",
        _SECONDS[what],
    )
    found = take_in(place / "git", raw, base)
    left = tuple(f"not in the branch: {LEFT[word]}" for word in raw.left)
    return ("salvaged" if raw.kind == "salvaged" else "gathered"), found, left
