"""Standing containers: Corral's own, one per purpose and run, that do what Corral has no right to do.

Each has no network, runs a command of ours at a time, and lives as long as this process holds its
standard input: it is gone, by itself, when the supervisor is. It is started when it is first needed.
"""

from __future__ import annotations

import contextlib
import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from runner import names
from runner.errors import EngineAwayError, EngineError
from runner.sandbox.box import MIB, BoxSpec, Mount, Role
from runner.sandbox.engine import Engine

ROLES: tuple[Role, ...] = ("steward", "mounter")
"""Whose containers stand."""


class StandingError(EngineError):
    """A standing container could not do what it was asked."""


@dataclass(frozen=True)
class Post:
    """Where a standing container serves: its engine, image, state directory and run."""

    engine: Engine
    image: str
    home: Path
    run: str

    @property
    def home_id(self) -> str:
        """The short name of the state directory, as labels carry it."""
        return names.home_id(str(self.home))


class Standing(ABC):
    """A container that stands ready; leave the context to end it. Safe to use from several threads."""

    role: Role
    script: str
    capabilities: tuple[str, ...]

    def __init__(self, post: Post) -> None:
        self._post = post
        self._lock = threading.Lock()
        self._container: str | None = None
        self._let_go: Callable[[], None] = _nothing

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._container is None:
            return
        self._let_go()
        with contextlib.suppress(EngineError):  # it ends by itself, and the run's own outcome counts for more
            self._post.engine.remove(self._container)
            self._post.engine.wait_gone(self._container)

    @abstractmethod
    def mounts(self) -> tuple[Mount, ...]:
        """What it sees of the host."""

    def do(self, *command: str) -> str:
        """Run its script with these words and return what it printed.

        Raises:
            StandingError: It failed.
        """
        code, output = self._post.engine.execute(self._standing(), [self.script, *command])
        if code != 0:
            raise StandingError(f"the {self.role} could not {' '.join(command[:2])}: {output.strip()[-300:]}")
        return output

    def _standing(self) -> str:
        """The running container, started anew if it is gone."""
        with self._lock:
            if self._container is None or not self._lives(self._container):
                self._container = self._begin()
            return self._container

    def _lives(self, container: str) -> bool:
        """Whether it runs; one that never did, or that died with its engine and was left, is removed."""
        state = self._post.engine.inspect(container)
        if state is not None and not state.alive:
            self._post.engine.remove(container)
        return state is not None and state.alive

    def _begin(self) -> str:
        engine = self._post.engine
        self._let_go()
        container = self._container = engine.create(self._spec())
        try:
            self._let_go = engine.hold_stdin(container)
            engine.start(container)
        except EngineAwayError:
            raise  # it is seen to when the engine answers
        except EngineError:
            engine.remove(container)
            self._container = None
            raise
        return container

    def _spec(self) -> BoxSpec:
        post = self._post
        return BoxSpec(
            name=f"corral-{self.role}-{post.home_id}-{post.run}-{os.urandom(3).hex()}",
            image=post.image,
            argv=("/bin/cat",),
            labels=names.labels(post.home_id, post.run, None, self.role),
            user=None,
            cpus=1.0,
            memory=1024 * MIB,
            pids=64,
            capabilities=self.capabilities,
            mounts=self.mounts(),
            workdir="/",
            tmp=16 * MIB,
            keep_output=False,
            stdin_lifeline=True,
            mounts_disks=self.role == "mounter",
        )


def end_earlier(post: Post) -> None:
    """Remove the standing containers of an earlier process of this run, which nobody needs any more.

    One that was killed before it started what it had made left it for ever: only what ran ends by itself.
    """
    for box in post.engine.find(names.label_filters(post.home_id, post.run)):
        if box.labels.get(names.LABEL_ROLE) in ROLES:
            post.engine.remove(box.id)
            post.engine.wait_gone(box.id)


def _nothing() -> None:
    """Lets go of nothing."""


def folder(path: Path) -> Path:
    """The directory, made where it is missing."""
    path.mkdir(parents=True, exist_ok=True)
    return path
