"""What a box put into its outbox, read from outside while it lives.

The outbox lies on the attempt's own disk: the box may fill it, set traps in it, and change it at any instant.
It is read by the guarded reader where this process may look at the disk, and by the steward elsewhere,
which follows nothing and waits for nothing either.
"""

from __future__ import annotations

import binascii
import os
from base64 import b64decode

from runner.errors import EngineError
from runner.guarded import GuardedError, list_names, read_file
from runner.sandbox.disks import Disks
from runner.sandbox.standing import StandingError
from runner.sandbox.steward import Steward
from runner.sandbox.workspace import OUT

DIRECT, BY_STEWARD = 1.0, 3.0
"""Seconds between two looks: the steward starts some programs for each."""


class Outbox:
    """The outbox of one attempt."""

    def __init__(self, disks: Disks, steward: Steward, box: str) -> None:
        self._place = disks.seen(box) / "agent"
        self._steward = steward
        self._box = box
        self._direct: bool | None = None

    @property
    def pause(self) -> float:
        """Seconds to let pass between two looks."""
        return DIRECT if self._direct else BY_STEWARD

    def names(self, most: int) -> list[str]:
        """The names in it, at most so many, as a box chose them.

        Raises:
            EngineError: It can't be looked into now.
        """
        if self._direct is not False:
            try:
                found = list_names(self._place, OUT, most)
            except GuardedError as error:
                if self._direct:
                    raise EngineError(f"the outbox can't be looked into: {error.message}") from error
                self._direct = False  # the disk is mounted where this process can't see or enter it
            else:
                self._direct = True
                return found
        listed = _decoded(self._steward.outbox(self._box, most))
        return [os.fsdecode(name) for name in listed.split(b"\0") if name]

    def read(self, name: str, most: int) -> bytes:
        """A file in it.

        Args:
            name: Its name, which holds no slash.
            most: How many bytes it may hold.

        Raises:
            GuardedError: It is no plain file of at most that size.
            EngineError: It can't be read now.
        """
        if self._direct:
            return read_file(self._place, f"{OUT}/{name}", most)
        return _content(self._steward.letter(self._box, name, most + 1), name, most)


def report(steward: Steward, box: str, name: str, most: int) -> bytes:
    """A file that a check left in its HOME; it has ended.

    Args:
        steward: Who looks.
        box: Whose check it was.
        name: The file's name, which holds no slash.
        most: How many bytes it may hold.

    Raises:
        GuardedError: It is no plain file of at most that size.
        EngineError: It can't be read now.
    """
    return _content(steward.report(box, name, most + 1), name, most)


def _content(said: str, name: str, most: int) -> bytes:
    """What the steward said of a file, of which it read one byte more than there may be."""
    kind, _, content = said.strip().partition(" ")
    if kind == "missing":
        raise GuardedError("missing", f"{name!a} is not there")
    if kind != "plain":
        raise GuardedError("not-plain", f"{name!a} is not a plain file")
    read = _decoded(content)
    if len(read) > most:
        raise GuardedError("too-large", f"{name!a} holds more than {most} bytes")
    return read


def _decoded(said: str) -> bytes:
    try:
        return b64decode(said.strip(), validate=True)
    except binascii.Error as error:
        raise StandingError(f"the steward did not say what is in an outbox: {said[:100]!a}") from error
