"""A FAKE engine: containers that exist in this process's memory alone, for tests of ten thousand of them.

It offers what the supervisor asks of `runner.sandbox.engine.Engine`, and is one by type, so that a call
that changes there has to change here. No program runs: what a box does is a timetable (`fake_box`), and time
is the machine's own. That it behaves as the real engine does is what `test_engine_contract` says of both.

A `FakeHost` (`fake_host`) is the daemon with its boxes; a `FakeEngine` is one process's connection to it.
Cutting a connection imitates the death of its process by SIGKILL: every later call from there ends the
thread that makes it, and what it held open is closed. The boxes live on.
"""

from __future__ import annotations

import hashlib
import shutil
import tarfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from runner import names
from runner.errors import EngineAwayError, EngineError, ImageGoneError
from runner.sandbox.box import BoxSpec
from runner.sandbox.engine import Engine
from runner.sandbox.facts import BoxState, EngineFacts, ImageFacts
from runner.sandbox.talk import Talk
from tests.contract.fake_box import FOREVER, timetable
from tests.contract.fake_host import FakeBox, FakeHost

CORES = 0.01
"""Of processor time, a box is told to use this much while it runs."""
MEMORY = 4 << 20
"""Bytes that each is told to use."""


class FakeEngine(Engine):
    """A connection to a `FakeHost`."""

    def __init__(self, host: FakeHost) -> None:
        self.host = host
        self._dead = False
        self._held: list[FakeBox] = []

    def cut(self) -> None:
        """The process that holds this connection dies."""
        with self.host.lock:
            self._dead = True
            for box in self._held:
                self._let_go(box)
            for box in self.host.boxes.values():
                box.changed.notify_all()

    def close(self) -> None:
        """See `Engine`."""

    def facts(self) -> EngineFacts:
        """See `Engine`."""
        with self._asked("facts"):
            return EngineFacts("0", "1.41", "2", "fake", 64, 1 << 40, "/nonexistent", (), ())

    def answers(self, patience: float = 5) -> bool:  # noqa: ARG002 - it says so at once
        """See `Engine`."""
        with self.host.lock:
            if self._dead:
                raise SystemExit
            return not (self.host.away or self.host.leaving)

    # -- containers

    def create(self, spec: BoxSpec) -> str:
        """See `Engine`."""
        with self._asked("create") as host:
            if any(box.spec.name == spec.name for box in host.boxes.values()):
                raise EngineError(f"the fake engine has a container called {spec.name}")
            if host.images is not None and spec.image not in host.images:
                raise ImageGoneError(f"the fake engine has no image {spec.image}", spec.image)
            host.made += 1
            name = hashlib.sha256(f"{host.made}".encode()).hexdigest()
            is_gather = spec.argv[0] == "/opt/corral/gather.sh"
            does = host.gathered(spec) if is_gather else timetable(spec.argv)
            host.boxes[name] = FakeBox(name, spec, does, threading.Condition(host.lock))
            return name

    def start(self, container: str) -> None:
        """See `Engine`."""
        with self._asked("start"):
            box = self._there(container)
            if box.status == "created":
                box.status, box.started, box.epoch = "running", time.monotonic(), time.time()
                labels = box.spec.labels
                self.host.starts[labels.get(names.LABEL_ATTEMPT), labels.get(names.LABEL_ROLE)] += 1
                box.changed.notify_all()

    def attach(self, container: str) -> Iterator[tuple[bytes | None, bytes | None]]:
        """See `Engine`."""
        with self._asked("attach"):
            box = self._there(container)
            seen = sum(at <= box.age() for at, _, _ in box.does.pieces) if box.epoch else 0
        return self._stream(box, seen)

    def hold_stdin(self, container: str) -> Callable[[], None]:
        """See `Engine`."""
        with self._asked("hold_stdin"):
            box = self._there(container)
            box.lifelines += 1
            self._held.append(box)

        def close() -> None:
            with self.host.lock:
                if box in self._held:
                    self._held.remove(box)
                    self._let_go(box)

        return close

    def talk(self, container: str) -> Talk:
        """Not offered: the supervisor has no terminal in a box."""
        raise NotImplementedError(container)

    def resize(self, container: str, rows: int, columns: int) -> None:
        """Not offered, as `talk`."""
        raise NotImplementedError(container, rows, columns)

    def follow(self, container: str) -> Iterator[tuple[bytes | None, bytes | None]]:
        """See `Engine`."""
        with self._asked("follow"):
            box = self._there(container)
            if not box.spec.keep_output:
                raise EngineError("the fake engine kept no output of this container")
        return self._stream(box, 0)

    def inspect(self, container: str) -> BoxState | None:
        """See `Engine`."""
        with self._asked("inspect"):
            box = self._known(container)
            return None if box is None else box.state()

    def find(self, filters: list[str]) -> list[BoxState]:
        """See `Engine`."""
        with self._asked("find") as host:
            found = [self._known(name) for name in list(host.boxes)]
            return [box.state() for box in found if box is not None and _fits(box.spec.labels, filters)]

    def running(self, filters: list[str]) -> dict[str, str]:
        """See `Engine`."""
        with self._asked("running") as host:
            found = [self._known(name) for name in list(host.boxes)]
            alive = [box for box in found if box is not None and box.status in {"running", "paused"}]
            return {box.id: box.status for box in alive if _fits(box.spec.labels, filters)}

    def kill(self, container: str, signal: str = "SIGKILL") -> None:
        """See `Engine`."""
        with self._asked("kill") as host:
            box = self._known(container)
            if box is not None and box.status in {"running", "paused"}:
                box.end({"SIGKILL": 137, "SIGTERM": 143}[signal])
                host.note_work(box)

    def pause(self, container: str) -> None:
        """See `Engine`."""
        with self._asked("pause"):
            box = self._known(container)
            if box is not None and box.status == "running":
                box.status, box.frozen_since = "paused", time.monotonic()
                box.changed.notify_all()

    def unpause(self, container: str) -> None:
        """See `Engine`."""
        with self._asked("unpause"):
            box = self._known(container)
            if box is not None and box.frozen_since is not None and box.status == "paused":
                box.frozen += time.monotonic() - box.frozen_since
                box.status, box.frozen_since = "running", None
                box.changed.notify_all()

    def remove(self, container: str) -> None:
        """See `Engine`."""
        with self._asked("remove") as host:
            box = self._known(container)
            if box is not None:
                host.drop(box)

    def execute(self, container: str, argv: list[str]) -> tuple[int, str]:
        """See `Engine`; the steward's own script is played on the files of the host."""
        with self._asked("execute"):
            box = self._there(container)
            if box.status != "running":
                raise EngineError("the fake engine's container does not run")
        if argv[0] == "/opt/corral/steward.sh":
            return _steward(box.spec, *argv[1:])
        does = timetable(tuple(argv))
        return does.code, does.printed.decode()

    def usage(self, container: str) -> Mapping[str, Any] | None:
        """See `Engine`."""
        with self._asked("usage"):
            box = self._known(container)
            if box is None:
                return None
            alive = box.status in {"running", "paused"}
            return {
                "cpu_stats": {"cpu_usage": {"total_usage": int(box.age() * CORES * 1e9) if alive else 0}},
                "memory_stats": {"usage": MEMORY, "max_usage": MEMORY} if alive else {},
            }

    # -- volumes

    def make_volume(self, name: str, options: Mapping[str, str], labels: Mapping[str, str]) -> str:
        """See `Engine`."""
        with self._asked("make_volume") as host:
            host.volumes.setdefault(name, {**labels})
            return f"/nonexistent/{name}/{len(options)}"

    def find_volumes(self, filters: list[str]) -> dict[str, Mapping[str, str]]:
        """See `Engine`."""
        with self._asked("find_volumes") as host:
            return {name: labels for name, labels in host.volumes.items() if _fits(labels, filters)}

    def remove_volume(self, name: str) -> None:
        """See `Engine`."""
        with self._asked("remove_volume") as host:
            used = any(m.is_volume and m.source == name for b in host.boxes.values() for m in b.spec.mounts)
            if used:
                raise EngineError(f"the fake engine's volume {name} is in use")
            host.volumes.pop(name, None)

    # -- images

    def image(self, reference: str) -> ImageFacts | None:
        """See `Engine`."""
        with self._asked("image") as host:
            if host.images is not None and reference not in host.images:
                return None
            return ImageFacts(reference, (reference,), {}, None, 0, (), "", ())

    def images(self, label: str) -> list[ImageFacts]:
        """Not offered."""
        raise NotImplementedError(_NO_IMAGES)

    def build(
        self,
        context: Iterable[bytes],
        tag: str,
        *,
        dockerfile: str = "Dockerfile",
        labels: Mapping[str, str],
        args: Mapping[str, str] | None = None,
        target: str | None = None,
        on_line: Callable[[str], None] = lambda _: None,
    ) -> str:
        """Not offered."""
        raise NotImplementedError(_NO_IMAGES)

    def import_tar(self, stream: IO[bytes], repository: str, tag: str, changes: list[str]) -> str:
        """Not offered."""
        raise NotImplementedError(_NO_IMAGES)

    def pull(self, reference: str, on_line: Callable[[str], None] = lambda _: None) -> str:
        """Not offered."""
        raise NotImplementedError(_NO_IMAGES)

    def remove_image(self, reference: str) -> bool:
        """Not offered."""
        raise NotImplementedError(_NO_IMAGES)

    # -- inside

    @contextmanager
    def _asked(self, what: str) -> Iterator[FakeHost]:
        """One call: refused where a fault was ordered, the end of its thread where its process is dead."""
        with self.host.lock:
            self._alive()
            self.host.calls[what] += 1
            if self.host.refusing[what] > 0:
                self.host.refusing[what] -= 1
                raise EngineError(f"the fake engine could not {what}, as it was told")
            yield self.host

    def _alive(self) -> None:
        if self._dead:
            raise SystemExit
        if self.host.away:
            raise EngineAwayError("the fake engine does not answer")

    def _known(self, container: str) -> FakeBox | None:
        box = self.host.boxes.get(container)
        if box is None:
            return None
        box.settle()
        if box.status == "exited" and box.spec.stdin_lifeline:  # created with `AutoRemove`
            self.host.drop(box)
            return None
        return box

    def _there(self, container: str) -> FakeBox:
        box = self._known(container)
        if box is None:
            raise EngineError(f"the fake engine has no container {container[:12]}")
        return box

    def _let_go(self, box: FakeBox) -> None:
        box.lifelines -= 1
        if box.lifelines == 0 and box.does.reads and box.status == "running":
            box.end(0)

    def _stream(self, box: FakeBox, seen: int) -> Iterator[tuple[bytes | None, bytes | None]]:
        while True:
            with self.host.lock:
                self._alive()
                box.settle()
                age = box.age()
                due = [piece for piece in box.does.pieces[seen:] if box.epoch and piece[0] <= age]
                if not due and (box.status == "exited" or box.id not in self.host.boxes):
                    self.host.note_work(box)
                    return
                if not due:
                    box.changed.wait(_patience(box, seen))
                    continue
            seen += len(due)
            for _, is_error, data in due:
                yield (None, data) if is_error else (data, None)


_NO_IMAGES = "the fake engine makes no images"


def _patience(box: FakeBox, seen: int) -> float | None:
    """Seconds until a box's timetable says that something happens; None for nothing that is known."""
    if box.status != "running":
        return None
    following = [at for at, _, _ in box.does.pieces[seen : seen + 1]]
    at = min([*following, box.does.ends])
    return None if at == FOREVER else max(0.001, at - box.age())


def _fits(labels: Mapping[str, str], filters: list[str]) -> bool:
    return all(
        labels.get(name) == value if sign else name in labels
        for name, sign, value in (one.partition("=") for one in filters)
    )


def _steward(spec: BoxSpec, command: str, box: str, *words: str) -> tuple[int, str]:
    """What `steward.sh` does with the files of an attempt, as far as it needs no rights."""
    place = {mount.target: Path(mount.source) for mount in spec.mounts}
    root = place["/state/w"] / box
    if not root.is_dir():
        return 2, f"cd: {root}: No such file or directory"
    if command == "empty":
        for path in root.iterdir():
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    elif command == "used":
        files = [path for path in (root / words[0]).rglob("*") if path.is_file()]
        return 0, f"{sum(path.stat().st_size for path in files)} {len(files)}"
    elif command == "clear":
        shutil.rmtree(root / words[0], ignore_errors=True)
    elif command == "report":
        return 0, "missing"
    elif command == "keep":
        with tarfile.open(place["/state/kept"] / f"{words[0]}.tar.gz", "w:gz") as archive:
            archive.add(root / "agent", arcname="agent")
    elif command != "own":
        return 2, f"unknown command: {command}"
    return 0, ""
