"""What is written down of each attempt of a box to reach a host: one JSON object a line.

    {"at": 1764150000.1, "box": "0123456789ab", "number": 7, "method": "CONNECT", "host": "docs.example.org",
     "port": 443, "address": "2600::1", "allowed": true, "why": "", "up": 517, "down": 90210, "seconds": 1.3}

`up` and `down` are bytes, `at` is when it began, in seconds since the epoch. `why` says why it was not
allowed, or what ended it before its time. A line is written when the attempt is over; a gap in a box's
numbers is an attempt that is under way, or was when the gateway was killed.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import time
from dataclasses import dataclass, field
from pathlib import Path

MAX_FILE = 32 * 1024 * 1024
"""Bytes; with `KEPT` older ones: many times what one box may have written of it (`egress.MAX_ATTEMPTS`)."""

KEPT = 3
LONGEST = 300
"""Characters of a text in a line; a host's name has at most 253."""

log = logging.getLogger(__name__)


@dataclass
class Attempt:
    """One attempt, filled in as it goes on."""

    box: str
    number: int
    """Which of the box's attempts it is, from 1 on."""
    method: str
    host: str = ""
    port: int | None = None
    address: str | None = None
    allowed: bool = False
    why: str = ""
    up: int = 0
    down: int = 0
    at: float = field(default_factory=time.time)
    began: float = field(default_factory=time.monotonic)

    def line(self) -> str:
        """The attempt as a line: ASCII without control characters, whatever a box named."""
        told = {
            "at": round(self.at, 3),
            "box": self.box,
            "number": self.number,
            "method": _inert(self.method),
            "host": _inert(self.host),
            "port": self.port,
            "address": self.address,
            "allowed": self.allowed,
            "why": _inert(self.why),
            "up": self.up,
            "down": self.down,
            "seconds": round(time.monotonic() - self.began, 3),
        }
        return json.dumps(told)


class Audit:
    """The file that the lines go to, turned over when it is full."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.works = True
        """Whether the last line could be written; without a record nobody is let out."""

    def note(self, attempt: Attempt) -> None:
        """Write a line; a failure is in the gateway's own log, and in `works`."""
        try:
            self._append(attempt.line() + "\n")
        except OSError as failure:
            log.error("egress can't be noted, so nothing is let out: %s", failure)  # noqa: TRY400 - says it all
            self.works = False
        else:
            self.works = True

    def _append(self, line: str) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(self._file, flags, 0o600)
        try:
            if os.write(fd, line.encode()) < len(line):
                raise OSError(errno.ENOSPC, "a line was cut")
            full = os.fstat(fd).st_size > MAX_FILE
        finally:
            os.close(fd)
        if full:
            self._turn_over()

    def _turn_over(self) -> None:
        names = [self._file, *(self._file.with_name(f"{self._file.name}.{n}") for n in range(1, KEPT + 1))]
        for older, newer in zip(reversed(names), reversed(names[:-1]), strict=False):
            if newer.exists():
                newer.replace(older)


def _inert(text: str) -> str:
    return "".join(letter if " " <= letter <= "~" else "?" for letter in text[:LONGEST])
