"""The daemon of the FAKE engine, with its boxes and its faults: values in memory, and nothing that runs."""

from __future__ import annotations

import hashlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from runner.sandbox.box import BoxSpec
from runner.sandbox.facts import BoxState
from tests.contract.fake_box import Timetable

EMPTY_PACK = b"PACK\0\0\0\2\0\0\0\0"
EMPTY_PACK += hashlib.sha1(EMPTY_PACK, usedforsecurity=False).digest()


@dataclass(frozen=True)
class Work:
    """What every box that writes a file brings home: a commit on its base, as a thin pack."""

    tip: str
    pack: bytes


@dataclass
class FakeBox:
    """A container. Times are seconds of the monotonic clock."""

    id: str
    spec: BoxSpec
    does: Timetable
    changed: threading.Condition
    status: str = "created"
    started: float = 0.0
    epoch: float = 0.0
    """When it was started, in seconds since 1970."""
    frozen_since: float | None = None
    frozen: float = 0.0
    ended: float | None = None
    """How old it was at its end."""
    code: int | None = None
    oom: bool = False
    lifelines: int = 0

    def age(self) -> float:
        """Seconds for which it has run, frozen time aside."""
        if self.ended is not None or self.status == "created":
            return self.ended or 0.0
        now = time.monotonic() if self.frozen_since is None else self.frozen_since
        return now - self.started - self.frozen

    def end(self, code: int) -> None:
        """It ends now."""
        self.ended, self.code, self.status = self.age(), code, "exited"
        self.changed.notify_all()

    def settle(self) -> None:
        """Let what its timetable says have happened."""
        if self.status == "running" and self.age() >= self.does.ends:
            self.ended, self.code, self.status = self.does.ends, self.does.code, "exited"

    def state(self) -> BoxState:
        """As the engine tells it."""
        is_over = self.status == "exited"
        return BoxState(
            id=self.id,
            name=self.spec.name,
            labels=self.spec.labels,
            status=self.status,
            exit_code=self.code if is_over else None,
            oom_killed=self.oom,
            error="",
            pid=0,
            started=self.epoch or None,
            finished=self.epoch + self.age() + self.frozen if is_over else None,
        )


@dataclass
class FakeHost:
    """The daemon, and its faults.

    Attributes:
        work: What boxes that write bring home, by the commit that they begin with.
        images: The images that are there; None for whatever is asked for.
        refusing: How many of the next calls, by name, fail.
        calls: How often each was asked for.
    """

    work: Callable[[str], Work] | None = None
    images: set[str] | None = None
    refusing: Counter[str] = field(default_factory=Counter)
    calls: Counter[str] = field(default_factory=Counter)
    starts: Counter[tuple[str | None, str | None]] = field(default_factory=Counter)
    """How many boxes were started, by the labels of their attempt and role."""
    boxes: dict[str, FakeBox] = field(default_factory=dict)
    volumes: dict[str, Mapping[str, str]] = field(default_factory=dict)
    written: set[str] = field(default_factory=set)
    """The workspaces in which some box wrote."""
    lock: threading.RLock = field(default_factory=threading.RLock)
    away: bool = False
    leaving: bool = False
    """Whether it goes down: it serves the connections that it has, and takes no new ones."""
    made: int = 0

    def die(self, container: str, code: int = 137, *, oom: bool = False) -> None:
        """Something on the host kills a box: a person, or the kernel for its memory."""
        with self.lock:
            box = self.boxes[container]
            box.settle()
            box.oom = oom
            box.end(code)
            self.note_work(box)

    def vanish(self, container: str) -> None:
        """A box is gone, and nobody knows why."""
        with self.lock:
            self.drop(self.boxes[container])

    def restart(self) -> None:
        """The engine is started anew: no box survives it, and those who listened hear that it is gone."""
        with self.outage(), self.lock:
            for box in list(self.boxes.values()):
                box.settle()
                if box.status in {"running", "paused"}:
                    box.end(137)
                    self.note_work(box)

    @contextmanager
    def outage(self) -> Iterator[None]:
        """Nobody answers; the boxes live on."""
        with self.lock:
            self.away = True
            for box in self.boxes.values():
                box.changed.notify_all()
        yield
        with self.lock:
            self.away = False

    def drop(self, box: FakeBox) -> None:
        """Forget a box."""
        box.settle()
        if box.status in {"running", "paused"}:
            box.end(137)
        self.note_work(box)
        self.boxes.pop(box.id, None)
        box.changed.notify_all()

    def note_work(self, box: FakeBox) -> None:
        """Remember whether a box wrote in its workspace."""
        if any(at <= box.age() for at in box.does.writes):
            self.written.update(mount.source for mount in box.spec.mounts if mount.target == "/workspace")

    def gathered(self, spec: BoxSpec) -> Timetable:
        """What a gather container prints: the work, if a box wrote any."""
        tip, kind, pack = spec.argv[1], "committed", EMPTY_PACK
        if any(mount.source in self.written for mount in spec.mounts):
            if self.work is None:
                raise NotImplementedError("a box wrote, and this host has no work to bring home")
            made = self.work(spec.argv[1])
            tip, kind, pack = made.tip, "snapshot", made.pack
        return Timetable(pieces=[(0.0, False, f"{tip} {kind} -\n".encode() + pack)])
