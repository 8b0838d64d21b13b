"""What one attempt is, and what it works with: the values that `attempt.drive` takes."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from runner import names
from runner.gateway.client import Gateway
from runner.gateway.grants import Access, Account, Replayed, Usage
from runner.names import AttemptKey
from runner.sandbox.box import MIB, BoxSpec, Mount, Role
from runner.sandbox.disks import Disks
from runner.sandbox.engine import Engine
from runner.sandbox.steward import Steward
from runner.supervisor import events as e
from runner.supervisor.attempt.passing import Passed
from runner.supervisor.attempt.postbox import Post
from runner.supervisor.journal import LeaseLostError
from runner.supervisor.slept import Slept
from runner.supervisor.verified import CheckResult
from runner.tasks.plan import Profile, Source, Task

GATHER_MEMORY = 2048 * MIB

HOME = "home.tar.gz"
"""What the archive of a HOME is called, beside an attempt's output."""


@dataclass(frozen=True)
class Beginning:
    """What a later try has of an earlier one; nothing, for a try that begins as the first did.

    Attributes:
        on: The commit that its workspace begins with, instead of the base.
        session: The conversation that goes on.
        home: The archive of the HOME that it begins with.
    """

    on: str | None = None
    session: str | None = None
    home: Path | None = None


@dataclass(frozen=True)
class Line:
    """The tasks on whose work an attempt builds.

    Attributes:
        given: The commit that a person gave, by the task file or by choosing what made it.
        wanted: The `paths` of the tasks since then: what they change there, a person wants changed.
        tasks: Their names.
    """

    given: str
    wanted: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()


@dataclass(frozen=True)
class AttemptSpec:
    """All that an attempt is: what to do, by whom, from where, and as which box.

    `image` is the prepared image's id; `accesses` are who answers its model calls, if anyone does;
    `include` holds the ignored files of the user's work tree that the task needs.
    """

    run: str
    key: AttemptKey
    box: str
    task: Task
    profile: Profile
    source: Source
    base: str
    branch: str
    image: str
    accesses: tuple[Access, ...]
    account: Account
    include: dict[str, bytes]
    passed: tuple[Passed, ...] = ()
    """What its agent gets of the tasks before its own, by `task.passes`."""
    post: Post | None = None
    """Its mail; None where its task has none."""
    words: tuple[str, ...] = ()
    """What its agent is told besides the task's prompt."""
    begins: Beginning = Beginning()
    line: Line | None = None
    """What lies between its base and the commit that a person gave; None where these are the same."""
    before: Callable[[], tuple[CheckResult, ...] | None] = lambda: None
    """What its checks say of `base`, as far as that is known by now."""

    @property
    def prompt(self) -> str:
        """All that its agent is told at its start."""
        if not self.words:
            return self.task.prompt
        return "\n\n".join(part.strip("\n") for part in (self.task.prompt, *self.words) if part) + "\n"

    @property
    def has_grant(self) -> bool:
        """Whether its box gets to speak to the gateway: a model answers it, or it is let through to hosts."""
        return bool(self.accesses or self.task.network)

    def followed(self, used: Usage | None) -> Replayed | None:
        """How it followed the recording that answers it; None if none does."""
        if self.profile.upstream.kind != "replay" or not self.accesses:
            return None
        told = None if used is None else used.replayed
        return told or Replayed(turns=1)  # it asked for nothing, and one thing at least was recorded


@dataclass(frozen=True)
class Orders:
    """What ends attempts from outside, each once and for good; and what freezes them for a while.

    Attributes:
        stop: A person wants what runs ended; its work still comes home.
        over: The run's end came (`--until`, `--for`): nothing more is started, and boxes end.
        frozen: The names of the attempts whose agents are to be frozen for as long as they stand here.
        ours: Whether the run is still this process's: one that hung must end nothing of its successor's.
        given_up: The names of the attempts that are ended for the host's sake, which has no memory left.
    """

    stop: threading.Event = field(default_factory=threading.Event)
    over: threading.Event = field(default_factory=threading.Event)
    frozen: set[str] = field(default_factory=set)
    given_up: set[str] = field(default_factory=set)
    ours: Callable[[], bool] = lambda: True

    def check_ours(self) -> None:
        """See that the run is still this process's, before anything is done that no event gates.

        Raises:
            LeaseLostError: Another one took it over: boxes of these attempts are its own.
        """
        if not self.ours():
            raise LeaseLostError("another process took the run over: the box is its own")

    def freeze(self, attempt: str, *, frozen: bool) -> None:
        """Have an attempt's agent frozen, or not: as the run's state says, after each event of it."""
        (self.frozen.add if frozen else self.frozen.discard)(attempt)


def log_file(home: Path, run: str, key: AttemptKey, what: str = "log") -> Path:
    """The file that holds what an attempt's agent (`log`) or check (`check.log`) printed, or its HOME."""
    return home / "runs" / run / "logs" / f"{str(key).replace('/', '+')}.{what}"


class Turns:
    """Locks by name, for what attempts of one process do once for all of them."""

    def __init__(self) -> None:
        self._mine = threading.Lock()
        self._locks: dict[tuple[str, ...], threading.Lock] = {}

    def of(self, *name: str) -> threading.Lock:
        """The lock of that name."""
        with self._mine:
            return self._locks.setdefault(name, threading.Lock())


@dataclass(frozen=True)
class Rooms:
    """What an attempt works with: the host's parts, shared by all attempts of a run.

    `uid` is the boxes' uid as they see it, `owner` the same as the host sees it: the engine may map them.
    """

    engine: Engine
    steward: Steward
    disks: Disks
    steward_image: str
    gateway: Gateway | None
    home: Path
    uid: int
    owner: int
    turns: Turns = field(default_factory=Turns)

    @property
    def locks(self) -> Path:
        """Where lock files lie."""
        return self.home / "locks"

    def kept_home(self, run: str, key: AttemptKey) -> Path:
        """The archive of an attempt's HOME, where it is kept for a later try."""
        return log_file(self.home, run, key, HOME)

    def log(self, run: str, key: AttemptKey, what: str = "log") -> Path:
        """The file that holds an attempt's output, or its check's."""
        return log_file(self.home, run, key, what)


@dataclass(frozen=True)
class Known:
    """What an earlier process noted of an attempt: how far it came, and what was found."""

    begun: bool = False
    running: bool = False
    ended: e.AttemptEnded | None = None
    gathered: e.AttemptGathered | None = None
    checked: e.AttemptChecked | None = None
    held: tuple[e.AttemptHeld, ...] = ()
    """Each time that its agent died of a limit."""
    began_again: float | None = None
    """When the container was started in which it went on after the last of these, if that was noted."""
    frozen_s: float = 0.0
    """Seconds for which its present box was frozen, until it last went on."""
    frozen_at: float | None = None
    """Since when it is frozen."""
    frozen_slept: Slept | None = None
    """How long the machine had slept then."""
    paused: bool = False
    """Whether a person froze it: then its next box is frozen, too."""
    container: str = ""
    """Its present box, or its last."""
    slept: Slept | None = None
    """How long the machine had slept when its present box began, as far as that was noted."""

    @classmethod
    def of(cls, told: tuple[e.Event, ...]) -> Known:
        """What these events tell."""
        known = cls(begun=bool(told))
        for event in told:
            known = known.after(event)
        return known

    def after(self, event: e.Event) -> Known:
        """What is known after one more event."""
        match event:
            case e.BoxStarted():
                return self._box_started(event)
            case e.AttemptFrozen() | e.AttemptThawed():
                froze = event if isinstance(event, e.AttemptFrozen) else None
                return replace(
                    self,
                    frozen_s=self.frozen(event.at, event.slept),
                    frozen_at=None if froze is None else froze.at,
                    frozen_slept=event.slept,
                    paused=froze is not None and froze.by == "person",
                )
            case e.AttemptHeld():
                return replace(
                    self,
                    held=(*self.held, event),
                    began_again=None,
                    frozen_s=0.0,
                    frozen_at=event.at if self.paused else None,
                )
            case e.AttemptEnded():
                return replace(self, ended=event)
            case e.AttemptGathered():
                return replace(self, gathered=event)
            case e.AttemptChecked():
                return replace(self, checked=event)
            case _:
                return self

    def _box_started(self, event: e.BoxStarted) -> Known:
        """What is known once a box runs, or is watched again; only its own frozen time counts."""
        slept = self.slept_before(event.container) or event.slept
        now = replace(self, running=True, container=event.container, slept=slept)
        if not self.held or self.began_again is not None:
            return now
        frozen_at = None if self.frozen_at is None else event.at
        return replace(now, began_again=event.at, frozen_s=0.0, frozen_at=frozen_at, frozen_slept=event.slept)

    def frozen(self, now: float, slept: Slept | None) -> float:
        """For how many seconds its present box was frozen until now, the machine's sleep left out.

        Args:
            now: Seconds since the epoch.
            slept: How long the machine has slept by now, if that is known.
        """
        if self.frozen_at is None:
            return self.frozen_s
        asleep = 0.0 if slept is None else slept.since(self.frozen_slept)
        return self.frozen_s + max(0.0, now - self.frozen_at - asleep)

    def slept_before(self, container: str) -> Slept | None:
        """How long the machine had slept when a box began; None where nobody has noted that."""
        return self.slept if container == self.container else None


def box_spec(
    spec: AttemptSpec,
    rooms: Rooms,
    role: Role,
    argv: tuple[str, ...],
    env: Mapping[str, str],
    mounts: tuple[Mount, ...],
) -> BoxSpec:
    """A container of an attempt: its agent's, its gathering's or its check's."""
    limits = spec.task.limits
    return BoxSpec(
        name=f"corral-{role}-{spec.box}-{os.urandom(3).hex()}",
        image=rooms.steward_image if role == "gather" else spec.image,
        argv=argv,
        labels=names.labels(names.home_id(str(rooms.home)), spec.run, spec.key, role),
        user=rooms.uid,
        cpus=limits.cpus,
        memory=GATHER_MEMORY if role == "gather" else limits.memory,
        pids=limits.pids,
        mounts=mounts,
        env=dict(env),
        keep_output=role != "gather",
        runtime=None if role == "gather" else spec.task.runtime,
    )
