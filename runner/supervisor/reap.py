"""Clearing away what ended runs left: containers, grants and workspaces of ours, and nothing else.

Whose run is still being worked on, or comes back by itself, is left alone; work that exists nowhere else is
saved first. Whoever clears owns the runs whose things these are, from the look to the last removal: nobody
can take one of them up meanwhile.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields
from functools import cache, partial
from pathlib import Path

from pydantic import JsonValue

from runner import names
from runner.errors import HostError
from runner.gateway.client import Gateway
from runner.locks import locked
from runner.sandbox import workspace
from runner.sandbox.disks import half_proved
from runner.sandbox.engine import BoxState, Engine
from runner.sandbox.standing import StandingError
from runner.sandbox.workspace import Workspace
from runner.supervisor.journal import Journal
from runner.supervisor.means import Stewards
from runner.supervisor.morning.together import SCRATCH
from runner.supervisor.ownership.lease import Lease, OwnedError, owned
from runner.supervisor.ownership.presence import RETURNS, is_left, presence


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


def look(engine: Engine, home: Path, over: Callable[[str], bool] | None = None) -> Leftovers:
    """Find what ended runs of this state directory left.

    Args:
        engine: The engine.
        home: The state directory.
        over: Whether a run has ended, by its name; by default whether it is left by everybody.
    """
    is_over = cache(partial(is_left, home)) if over is None else over
    # First the directories, then the notes: what was begun in between has a note, and none of these.
    quarantines, grants = _folders(home / "q"), _folders(home / "s")
    ours = names.label_filters(names.home_id(str(home)))
    boxes, volumes = engine.find(ours), engine.find_volumes(ours)
    spaces = workspace.remembered(home / "w")
    busy = {space.id for space, run, _ in spaces if not is_over(run)}
    return Leftovers(
        tuple(box for box in boxes if names.is_ours(box.name, box.labels) and is_over(_run(box))),
        tuple((space, git_dir) for space, _, git_dir in spaces if space.id not in busy),
        (
            *(place for place in quarantines if place.name not in busy),
            *(place for place in sorted((home / "runs").glob(f"*/{SCRATCH}")) if is_over(place.parent.name)),
        ),
        tuple(place for place in grants if place.name not in busy),
        tuple(name for name, has in volumes.items() if is_over(has.get(names.LABEL_RUN, ""))),
        tuple(file for run, file in _strays(home) if is_over(run)),
    )


def _run(box: BoxState) -> str:
    return box.labels.get(names.LABEL_RUN, "")


def _strays(home: Path) -> Iterator[tuple[str, Path]]:
    """What a process that is killed may leave beside the workspaces, each with its run."""
    yield from workspace.half_noted(home / "w")
    yield from half_proved(home)
    yield from ((file.name.partition("+")[0], file) for file in (home / "kept").glob("*.part"))


def _folders(place: Path) -> tuple[Path, ...]:
    """The directories in one, each named by a box."""
    return tuple(sorted(place.iterdir())) if place.exists() else ()


@dataclass(frozen=True)
class Clearing:
    """What ended runs left, while the runs are ours.

    `alone` says, in words, which runs that nobody worked on are not touched, and why.
    """

    engine: Engine
    home: Path
    left: Leftovers
    alone: tuple[str, ...]
    leases: tuple[tuple[str, Lease], ...]

    def clear(self, stewards: Stewards) -> list[str]:
        """Remove the leftovers; returns what was saved from them.

        Raises:
            OwnedError: Another process took one of the runs over, since ours was silent for so long that it
                was taken for dead (the machine slept, for example). No more is touched.
        """
        self._require_ours()
        try:
            _revoke(self.home, self.left.grants)  # first: a box that is being ended asks for nothing more
        finally:
            for box in self.left.boxes:
                self._require_ours()
                self.engine.remove(box.id)
        for box in self.left.boxes:  # one that was going by itself may still hold its volume
            self.engine.wait_gone(box.id)
        for name in self.left.volumes:
            self.engine.remove_volume(name)
        saved = []
        for space, git_dir in self.left.spaces:
            self._require_ours()
            saved += self._clear_space(stewards, space, git_dir)
        for stray in self.left.strays:
            stray.unlink(missing_ok=True)
        for place in self.left.quarantines:
            shutil.rmtree(place, ignore_errors=True)
        return saved

    def _require_ours(self) -> None:
        for run, lease in self.leases:
            if not lease.holds():
                raise OwnedError(f"another process took the run {run} over", cure="`corral reap` once more")

    def _clear_space(self, stewards: Stewards, space: Workspace, git_dir: Path | None) -> list[str]:
        saved = [str(_save(stewards, space))] if space.is_whole else []
        stewards.disks.free(space.id)
        if git_dir is not None and git_dir.is_dir():
            workspace.take_down(space, git_dir, self.home / "locks")
        elif space.root.exists():
            space.root.rmdir()
        workspace.forget(space)
        return saved


@contextmanager
def clearing(engine: Engine, home: Path) -> Iterator[Clearing]:
    """Own the runs that have ended, as long as what they left is being cleared away.

    A run of which no journal tells is nobody's, and needs no owning.
    """
    with ExitStack() as stack:
        ended, leases, alone = set(), [], []
        for run in _runs_with_things(engine, home):
            there = presence(home, run)
            if there == "returns":
                alone.append(f"the run {run} is left alone: {RETURNS}")
            if there != "nobody":
                continue
            try:
                lease = _take(stack, home, run)
            except OwnedError:
                alone.append(f"the run {run} is left alone: another process has just taken it up")
                continue
            ended.add(run)
            leases += [] if lease is None else [(run, lease)]
        left = look(engine, home, ended.__contains__)
        yield Clearing(engine, home, left, tuple(alone), tuple(leases))


def _runs_with_things(engine: Engine, home: Path) -> list[str]:
    """The runs, living ones too, of which there is something on this host."""
    asked: set[str] = set()

    def note(run: str) -> bool:
        asked.add(run)
        return False

    look(engine, home, note)
    return sorted(asked)


def _take(stack: ExitStack, home: Path, run: str) -> Lease | None:
    """Own a run until the stack is closed; None for one that nobody could take up either.

    Raises:
        OwnedError: Another process works on it.
    """
    file = home / "journal.db"
    if not names.is_id(run) or not file.exists():
        return None
    book = stack.enter_context(Journal(file))
    if book.lease(run) is None:  # nobody ever worked on it, so nothing of it stands in the journal
        return None
    try:
        return stack.enter_context(owned(book, home, run))
    except OwnedError:
        raise
    except (HostError, OSError):  # on a full disk nobody can write that a run is theirs
        return None


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
