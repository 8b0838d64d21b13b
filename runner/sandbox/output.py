"""What a living box prints, followed in a thread of its own, handed over in bounded pieces."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from runner.errors import EngineError
from runner.sandbox.engine import Engine

LONGEST_LINE = 1024 * 1024
PREAMBLE = 4 * 1024 * 1024
"""Bytes that nothing of ours prints before a box is ready."""
KEPT_BYTES = 20 * 1024 * 1024
"""As much of a box's output as the engine itself keeps; more is dropped, and said."""

READY = b"corral: ready"


class Output:
    """Follows one container's output; iterate over `lines`, leave the context when it has ended.

    Attributes:
        ready: Whether the box's first program reported that the workspace was laid out. What comes
            before that line is ours; everything after it may be written by an attacker.
        spoke: Whether anything came since it was ready, on either stream.
        closed: Whether the stream has ended: the container did, or the engine went away.
        fault: The engine's failure, if that is what ended the stream.
        last_piece: When something came last, on either stream, in seconds of the monotonic clock.
        repeats: Whether what comes now was noted in the log by an earlier process already.
    """

    def __init__(self, engine: Engine, container: str, log: Path, after: int = 0) -> None:
        """Follow a container.

        Args:
            engine: Where it runs.
            container: Its id.
            log: The file that its output goes to.
            after: Bytes of that file which stay, since they are of an earlier container.
        """
        self.ready = False
        self.spoke = False
        self.closed = False
        self.fault: EngineError | None = None
        self.last_piece = time.monotonic()
        self._engine = engine
        self._container = container
        self._log = log
        self._written = 0
        self._noted = 0
        self._after = after
        self._rest = b""
        self._pieces: queue.Queue[tuple[bool, bytes] | None] = queue.Queue(maxsize=64)
        self._leaving = threading.Event()
        self._thread = threading.Thread(target=self._follow, name=f"output-{container[:12]}", daemon=True)

    def __enter__(self) -> Output:
        self._log.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._log.open("ab")
        self._noted = max(0, self._file.tell() - self._after)
        self._file.truncate(min(self._after, self._file.tell()))
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leaving.set()
        self._drain()
        self._thread.join(timeout=10)
        self._file.close()

    @property
    def repeats(self) -> bool:
        """See the class."""
        return self._written < self._noted

    def lines(self, patience: float) -> Iterator[bytes]:
        """The lines of standard output that came, waiting at most `patience` seconds for the first piece."""
        try:
            piece = self._pieces.get(timeout=patience)
        except queue.Empty:
            return
        if piece is None:
            self.closed = True
            if self._rest:
                yield self._rest
            return
        standard, data = piece
        if not self.repeats:
            self.last_piece = time.monotonic()
        self.spoke = self.spoke or self.ready
        self._keep(data)
        if standard:
            yield from self._split(data)

    def _split(self, data: bytes) -> Iterator[bytes]:
        *whole, last = data.split(b"\n")
        for line in whole:
            full, self._rest = self._rest + line, b""
            if not self.ready and full == READY:
                self.ready = True
            elif not self.ready and self._written > PREAMBLE:
                self.ready = True  # the engine no longer has the beginning: what is this long is not ours
                yield full[:LONGEST_LINE]
            else:
                self.spoke = self.spoke or self.ready
                yield full[:LONGEST_LINE]
        if len(self._rest) < LONGEST_LINE:
            self._rest += last

    def _keep(self, data: bytes) -> None:
        room = KEPT_BYTES - self._after - self._written
        if room > 0:
            self._file.write(data[:room])
            if len(data) > room:
                self._file.write(b"\n[corral: the output beyond 20 MiB is not kept]\n")
            self._file.flush()
        self._written += len(data)

    def _follow(self) -> None:
        try:
            for out, err in self._engine.follow(self._container):
                if self._leaving.is_set():
                    return
                self._pieces.put((out is not None, out if out is not None else err or b""))
        except EngineError as error:
            self.fault = error
        finally:
            self._pieces.put(None)

    def _drain(self) -> None:
        """Let the thread go on to its end: it may be waiting for room."""
        while not self.closed:
            try:
                self.closed = self._pieces.get(timeout=5) is None
            except queue.Empty:
                return
