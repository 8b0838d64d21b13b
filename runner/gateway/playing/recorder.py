"""Writes recordings down, in a thread of its own: traffic waits neither for it nor for the disk.

What it can't take (a disk that is too slow, or full; an answer, or a recording, that is too long) is left
out: the traffic goes on, the loss is counted, and the recording says that it is incomplete.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from runner.errors import TaskFileError
from runner.gateway.places import recording_file
from runner.gateway.playing.recording import MAX_FILE, Headers, Lines, Piece, load
from runner.gateway.playing.redact import without_secrets, without_told_keys

log = logging.getLogger(__name__)

MAX_ANSWER = 32 * 1024 * 1024
"""Bytes of one answer; a longer one is not recorded."""

MAX_WAITING = 128 * 1024 * 1024
"""Bytes that may wait to be written, of all boxes together."""

CLOSING_PATIENCE = 10.0
"""Seconds that whoever ends a grant waits for the rest of its recording to be written."""


POLITENESS = 0.02
"""Seconds that the writer lets pass before it begins: just then an answer's first bytes are passed on."""


class Tape:
    """The file of one recording; for the writing thread alone, but for `lose` and `lost`.

    `lost` counts exchanges that it lacks, or lacks the half of.
    """

    def __init__(self, file: Path, run: str, attempt: str, lost: int = 0) -> None:
        self.file = file
        self.lost = lost
        self._names = run, attempt
        self._lines = Lines(set())
        self._fd: int | None = None
        self._size = 0
        self._gap = False

    def write(self, lines: Callable[[Lines], Iterable[bytes]]) -> int:
        """Write lines at the end, all of them or none; the number of the last request.

        Raises:
            OSError: They could not be written, or there is no more room in this recording.
        """
        if self._fd is None:
            self._fd = self._opened()
        gap = [Lines.incomplete("something could not be written here")] if self._gap else []
        self._gap = False
        self._lines.begin()
        try:
            self._append(self._fd, b"".join([*gap, *lines(self._lines)]))
        except OSError:
            self._lines.undo()
            self._gap |= bool(gap)
            raise
        return self._lines.last

    def lose(self) -> None:
        """Count an exchange as lost; the file says so as soon as it can. For any thread."""
        self.lost += 1
        self._gap = True

    def close(self) -> None:
        """Give the file back; it is opened again if more comes."""
        if self._fd is not None:
            if self._gap:
                with contextlib.suppress(OSError):
                    self._append(self._fd, Lines.incomplete("something could not be written here"), spare=0)
            os.close(self._fd)
        self._fd = None

    def _opened(self) -> int:
        self.file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(self.file, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            self._go_on(fd)
        except BaseException:
            os.close(fd)
            raise
        return fd

    def _go_on(self, fd: int) -> None:
        """Take up the file where an earlier process, or box, left it."""
        self._size = _whole_lines(fd)
        os.ftruncate(fd, self._size)
        if not self._size:
            self._append(fd, Lines.head(*self._names))
            return
        try:
            before = load(self.file)
        except TaskFileError as wrong:
            raise OSError(f"{self.file} is something else: {wrong.message}") from wrong
        last = max((one.number for one in before.exchanges), default=0)
        self._lines = Lines(set(before.parts), last)

    def _append(self, fd: int, data: bytes, spare: int = 4096) -> None:
        if self._size + len(data) + spare > MAX_FILE:
            raise OSError(f"the recording has its {MAX_FILE // 1024**2} MiB")
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(fd, rest) :]
        except OSError:
            os.ftruncate(fd, self._size)
            raise
        self._size += len(data)


def _whole_lines(fd: int) -> int:
    """How many bytes of the file are whole lines."""
    end = os.fstat(fd).st_size
    while end:
        start = max(0, end - 65536)
        found = os.pread(fd, end - start, start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0


@dataclass(eq=False)
class Take:
    """One exchange on its way into a recording: what was answered until now."""

    tape: Tape
    secrets: tuple[bytes, ...]
    status: int
    headers: Headers
    began: float
    room: Callable[[int], bool]
    """Takes so many bytes of the room for what waits, if there is as much."""
    pieces: list[bytes] = field(default_factory=list)
    times: list[Piece] = field(default_factory=list)
    held: int = 0
    """Bytes of it in memory."""
    number: int | None = None
    """Its number in the recording, once its request was written."""
    is_whole: bool = False
    fits: bool = True

    def add(self, piece: bytes) -> None:
        """The next bytes of the answer."""
        self.fits = self.fits and self.held + len(piece) <= MAX_ANSWER and self.room(len(piece))
        if self.fits:
            self.held += len(piece)
            self.pieces.append(piece)
            self.times.append((round((time.monotonic() - self.began) * 1000), len(piece)))


Job = Callable[[], None]


class Recorder:
    """All recordings of one process. Close it."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._waiting = 0
        self._lock = threading.Lock()
        self._secrets: set[bytes] = set()
        self._tapes: set[Tape] = set()
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._writer: threading.Thread | None = None

    def close(self) -> None:
        """Write what waits, and end."""
        if self._writer is not None:
            self._jobs.put(None)
            self._writer.join()
        for tape in self._tapes:
            tape.close()

    def tape(self, run: str, attempt: str, lost: int = 0) -> Tape:
        """The recording of an attempt; it goes on where an earlier one ended.

        Raises:
            ValueError: These are no names of a run and an attempt.
        """
        made = Tape(recording_file(self._home, run, attempt), run, attempt, lost)
        self._tapes.add(made)
        if self._writer is None:
            self._writer = threading.Thread(target=self._write, name="recorder", daemon=True)
            self._writer.start()
        return made

    @contextmanager
    def recording(
        self,
        tape: Tape,
        shown: Iterable[bytes],
        asked: tuple[str, str, Headers, bytes],
        answered: tuple[int, Headers],
    ) -> Iterator[Take]:
        """Record an exchange whose answer begins now.

        Args:
            tape: Where to.
            shown: The credentials that were shown; they are left out, as is any that was shown before.
            asked: Method, target, headers as they were sent, and body.
            answered: Status and headers.
        """
        self._secrets.update(shown)
        take = Take(tape, tuple(self._secrets), *answered, began=time.monotonic(), room=self._room)
        size = len(asked[3])
        if self._room(size):
            self._put(take, size, lambda: self._write_request(take, asked))
        else:
            self._lose(take, "the disk is too slow for it")
        try:
            yield take
        finally:
            self._put(take, take.held, lambda: self._write_answer(take))

    async def closed(self, tape: Tape) -> None:
        """Give a recording's file back, once all of it that waits is written, or the patience is over."""
        self._tapes.discard(tape)
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def close() -> None:
            tape.close()
            with contextlib.suppress(RuntimeError):  # nobody waits any more
                done.get_loop().call_soon_threadsafe(_resolve, done)

        self._jobs.put(close)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(done, CLOSING_PATIENCE)

    def _room(self, size: int) -> bool:
        with self._lock:
            fits = self._waiting + size <= MAX_WAITING
            self._waiting += size if fits else 0
        return fits

    def _put(self, take: Take, size: int, write: Job) -> None:
        """Have the thread write something, and give back the room that it took."""

        def job() -> None:
            try:
                write()
            except OSError as failure:
                self._lose(take, str(failure))
            finally:
                with self._lock:
                    self._waiting -= size

        self._jobs.put(job)

    def _write(self) -> None:
        while (job := self._jobs.get()) is not None:
            if self._jobs.empty():
                time.sleep(POLITENESS)
            try:
                job()
            except Exception:
                log.exception("a recording could not be written")

    def _lose(self, take: Take, why: str) -> None:
        if not take.tape.lost:
            log.warning("%s is incomplete: %s", take.tape.file.name, why)
        take.tape.lose()

    @staticmethod
    def _write_request(take: Take, asked: tuple[str, str, Headers, bytes]) -> None:
        method, target, headers, body = asked
        hidden = without_secrets(body, take.secrets)
        take.number = take.tape.write(
            lambda lines: lines.request(time.time(), method, target, headers, hidden)
        )

    @staticmethod
    def _write_answer(take: Take) -> None:
        number = take.number
        if number is None:
            return  # its request is missing, and counted
        if not take.fits:
            raise OSError("an answer is too long, or the disk too slow for it")
        body = without_secrets(b"".join(take.pieces), take.secrets)
        body = without_told_keys(body, take.secrets)
        take.tape.write(
            lambda lines: lines.answer(
                number, take.status, take.headers, body, take.times, whole=take.is_whole
            )
        )


def _resolve(done: asyncio.Future[None]) -> None:
    if not done.done():
        done.set_result(None)
