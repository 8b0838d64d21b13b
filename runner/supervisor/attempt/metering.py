"""The meter of an attempt: keeps what its boxes use, about once a second, in one small file for good.

The file may be read at any time, by anyone who may read the state directory. A meter never fails its attempt:
what could not be written, since the disk of the state directory is full, is missing from the record.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import TracebackType

from runner.names import AttemptKey
from runner.sandbox.usage import Usage
from runner.supervisor.attempt import samples
from runner.supervisor.attempt.samples import Record, Sample, Used

WEIGHING = 10.0
"""Seconds between two looks at the room that its files take."""


def usage_file(home: Path, run: str, key: AttemptKey) -> Path:
    """The file that holds what an attempt's boxes used."""
    return home / "runs" / run / "usage" / str(key).replace("/", "+")


def look(file: Path) -> Record | None:
    """What such a file holds by now; None if there is none, or it is not one of this version."""
    try:
        return samples.decode(file.read_bytes())
    except OSError:
        return None


def glance(file: Path) -> Record | None:
    """The same with nothing but the last sample, which costs next to nothing."""
    try:
        with file.open("rb", buffering=0) as opened:
            head = opened.read(Record.size(0))
            count = (opened.seek(0, os.SEEK_END) - len(head)) // samples.SIZE
            opened.seek(Record.size(max(0, count - 1)))
            return samples.decode(head + opened.read(samples.SIZE))
    except OSError:
        return None


def used_by(home: Path, run: str, key: AttemptKey) -> Used | None:
    """What an attempt's boxes used in all; None where there is no record of it."""
    record = look(usage_file(home, run, key))
    return None if record is None or not record.samples else samples.in_all(record)


class Meter:
    """Writes the samples of an attempt; use it as a context. A later process goes on with the same file."""

    def __init__(
        self, file: Path, box: str, weigh: Callable[[], int | None], most: int = samples.MOST
    ) -> None:
        """Prepare it; nothing is touched before it is entered.

        Args:
            file: Where the samples are kept.
            box: The container that is measured.
            weigh: How many bytes its files take on its disk, or None.
            most: How many samples the file may hold.
        """
        self._file = file
        self._box = box
        self._weigh = weigh
        self._most = most
        self._handle: int | None = None
        self._count = 0
        self._waiting: Sample | None = None
        self._looks = 0
        self._weighed: tuple[float, int | None] | None = None

    def __enter__(self) -> Meter:
        self._head = Record(began=time.time(), box=self._box[:12])
        self._renew()
        passed = max(0.0, time.time() - self._head.began, self._latest)
        self._since = time.monotonic() - passed
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._keep()
        self._close()

    def note(self, usage: Usage) -> None:
        """Take one look at what the box uses."""
        now = time.monotonic()
        if self._weighed is None or now - self._weighed[0] >= WEIGHING:
            self._weighed = now, self._weigh()
        sample = samples.sampled(now - self._since, usage, self._weighed[1], self._head.base)
        self._waiting = sample if self._waiting is None else samples.merged(self._waiting, sample)
        self._looks += 1
        if self._looks >= self._head.stride:
            self._keep()

    def _keep(self) -> None:
        """Write down what was collected since the last sample was written."""
        sample, self._waiting, self._looks = self._waiting, None, 0
        if sample is None:
            return
        if self._handle is None:  # there was no room for the file
            self._renew()
        self._append(samples.encode(sample))
        if self._count >= self._most:
            self._renew()

    def _append(self, row: bytes) -> None:
        if self._handle is None:
            return
        with contextlib.suppress(OSError):
            if os.write(self._handle, row) == len(row):
                self._count += 1
                return
        with contextlib.suppress(OSError):  # there was no room for it: what follows must not be torn
            os.ftruncate(self._handle, self._head.size(self._count))

    def _renew(self) -> None:
        """Write the whole file anew, with half as many samples if it is full, and go on at its end.

        Whoever reads it meanwhile sees it as it was. Where there is no room for it, it stays so.
        """
        self._close()
        record = (look(self._file) or self._head).of_box(self._box)
        record = record.halved() if len(record.samples) >= self._most else record
        part = self._file.with_name(self._file.name + ".part")
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            part.write_bytes(record.encode())
            part.replace(self._file)
            self._handle = os.open(self._file, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        except OSError:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
        self._count, self._latest = len(record.samples), record.last.at
        self._head = replace(record, samples=())

    def _close(self) -> None:
        handle, self._handle = self._handle, None
        if handle is not None:
            os.close(handle)
