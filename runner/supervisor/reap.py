"""Clearing away what ended runs left: containers, grants and workspaces of ours, and nothing else.

Whose run is still being worked on is left alone; work that exists nowhere else is saved first.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path

from pydantic import JsonValue

from runner import names
from runner.gateway.client import Gateway
from runner.locks import locked
from runner.sandbox import workspace
from runner.sandbox.disks import half_proved
from runner.sandbox.engine import BoxState, Engine
from runner.sandbox.standing import StandingError
from runner.sandbox.workspace import Workspace
from runner.supervisor.lease import is_over
from runner.supervisor.means import Stewards


@dataclass(frozen=True)
class Leftovers:
    """What ended runs left: containers, workspaces each with its repository's git directory, and more.

    `grants` are the directories of boxes' sockets; a gateway process may still listen in them. `volumes`
    are where ended runs' disks were mounted, by name. The repository of a workspace is None where its
    note can't be read. `strays` are files that a process was about to finish or to remove.
    """

    boxes: tuple[BoxState, ...]
    spaces: tuple[tuple[Workspace, Path | None], ...]
    quarantines: tuple[Path, ...]
    grants: tuple[Path, ...]
    volumes: tuple[str, ...]
    strays: tuple[Path, ...] = ()

    def __bool__(self) -> bool:
        return any(getattr(self, field.name) for field in fields(self))

    def count(self) -> str:
        """How many of each kind there are, in words; empty if there are none."""
        kinds = ("container", self.boxes), ("workspace", self.spaces), ("grant", self.grants)
        other = len(self.quarantines) + len(self.volumes) + len(self.strays)
        found = [(name, len(things)) for name, things in kinds] + [("other thing", other)]
        return ", ".join(f"{n} {name}{'' if n == 1 else 's'}" for name, n in found if n)

    def as_json(self) -> dict[str, JsonValue]:
        """The leftovers for programs."""
        return {
            "containers": [
                {"id": box.id, "name": box.name, "run": box.labels.get(names.LABEL_RUN)} for box in self.boxes
            ],
            "workspaces": [
                {"path": str(space.root), "repository": str(git_dir) if git_dir else None}
                for space, git_dir in self.spaces
            ],
            "quarantines": [str(place) for place in self.quarantines],
            "grants": [str(place) for place in self.grants],
            "volumes": list(self.volumes),
            "files": [str(stray) for stray in self.strays],
        }

    def words(self) -> list[str]:
        """Each leftover on a line."""
        return [
            *(
                f"ends and removes container {box.name} of run {box.labels.get(names.LABEL_RUN)}"
                for box in self.boxes
            ),
            *(f"saves and removes workspace {space.root} {_of(git_dir)}" for space, git_dir in self.spaces),
            *(f"removes quarantine {place}" for place in self.quarantines),
            *(f"revokes grant of a model {place}" for place in self.grants),
            *(f"removes volume {name}" for name in self.volumes),
            *(f"removes file {stray}" for stray in self.strays),
        ]


@contextmanager
def alone(home: Path) -> Iterator[None]:
    """Wait until nobody else clears this state directory: two at once would take each other's tools away."""
    if not home.is_dir():  # then there is nothing in it that could be fought over, and none is made
        yield
        return
    with locked(home / "locks" / "reap.lock"):
        yield


def _of(git_dir: Path | None) -> str:
    return f"of {git_dir}" if git_dir else "of a repository that is not known: see its `git worktree list`"


def look(engine: Engine, home: Path) -> Leftovers:
    """Find what ended runs of this state directory left."""
    ours = names.label_filters(names.home_id(str(home)))
    boxes, volumes = engine.find(ours), engine.find_volumes(ours)
    spaces = workspace.remembered(home / "w")
    busy = {space.id for space, run, _ in spaces if not is_over(home, run)}
    return Leftovers(
        tuple(box for box in boxes if names.is_ours(box.name, box.labels) and is_over(home, _run(box))),
        tuple((space, git_dir) for space, _, git_dir in spaces if space.id not in busy),
        _others(home / "q", busy),
        _others(home / "s", busy),
        tuple(name for name, has in volumes.items() if is_over(home, has.get(names.LABEL_RUN, ""))),
        tuple(_strays(home)),
    )


def _run(box: BoxState) -> str:
    return box.labels.get(names.LABEL_RUN, "")


def _strays(home: Path) -> Iterator[Path]:
    """What lies beside the workspaces because a process of a run that is over was killed."""
    archives = ((file.name.partition("+")[0], file) for file in (home / "kept").glob("*.part"))
    for run, file in (*workspace.half_noted(home / "w"), *half_proved(home), *archives):
        if is_over(home, run):
            yield file


def _others(folder: Path, busy: set[str]) -> tuple[Path, ...]:
    """The directories that are named by a box of no living run."""
    found = sorted(folder.iterdir()) if folder.exists() else []
    return tuple(place for place in found if place.name not in busy)


def clear(engine: Engine, stewards: Stewards, home: Path, left: Leftovers) -> list[str]:
    """Remove leftovers; returns what was saved from them."""
    try:
        _revoke(home, left.grants)  # first: a box that is being ended asks for nothing more
    finally:
        for box in left.boxes:
            engine.remove(box.id)
    for name in left.volumes:
        engine.remove_volume(name)
    saved = []
    for space, git_dir in left.spaces:
        if space.is_whole:
            saved.append(str(_save(stewards, space)))
        stewards.disks.free(space.id)
        if git_dir is not None and git_dir.is_dir():
            workspace.take_down(space, git_dir, home / "locks")
        elif space.root.exists():
            space.root.rmdir()
        workspace.forget(space)
    for stray in left.strays:
        stray.unlink(missing_ok=True)
    for place in left.quarantines:
        shutil.rmtree(place, ignore_errors=True)
    return saved


def _save(stewards: Stewards, space: Workspace) -> Path:
    """Save the files of an attempt; where they can't be read or archived, their disk."""
    name = f"reaped+{space.id}"
    try:
        if space.disk.is_file():
            stewards.disks.reach(space.id, "agent")
        return stewards.steward.keep(space.id, name)
    except StandingError:
        aside = stewards.disks.set_aside(space.id, name) if space.disk.is_file() else None
        if aside is None:
            raise
        return aside


def _revoke(home: Path, grants: tuple[Path, ...]) -> None:
    """Cut boxes off from their models, and let the gateway leave if nobody else needs it."""
    if not grants:
        return
    gateway = Gateway.ensure(home)
    for place in grants:
        gateway.revoke(place.name)
    gateway.leave()
