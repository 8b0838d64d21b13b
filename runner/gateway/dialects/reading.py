"""Reads on the way what an answer has used, however its bytes are cut; what is common to all dialects."""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from typing import Protocol

from runner.gateway.grants import MAX_COUNT, Tokens

MAX_LINE = 1024 * 1024
"""A line of an event stream beyond this many bytes is skipped, where a dialect does not say otherwise."""

MAX_DATA_LINES = 64
"""More `data:` lines than this in one event are ignored; services send one."""

PIECE = b'"delta"'
"""The key under which a piece of the output stands, in Anthropic's and both of OpenAI's APIs."""

_TEXT = re.compile(rb'(?<!"type"):\s*"([^"\\]*(?:\\.[^"\\]*)*)"', re.DOTALL)
"""A text that is the value of a key, any but `type`."""

MAX_BODY = 16 * 1024 * 1024
"""A JSON answer beyond this many bytes is passed on but not read for its usage."""


class UsageReader(Protocol):
    """Reads on the way what an answer has used; right at any moment, also when the answer is cut.

    `told` is whether the answer has said so at all: until then its tokens are unknown, not none. `final` is
    whether it has said its last word of that, `ended` whether all of its bytes came: who passes them sets it.
    `produced` counts the bytes of output that came piece by piece, as text; None where it comes at once.
    """

    tokens: Tokens
    told: bool
    final: bool
    ended: bool
    produced: int | None
    model: str | None

    def feed(self, piece: bytes) -> None:
        """Take the next bytes of the answer."""

    def finish(self) -> None:
        """Take notice that no more bytes will come."""


class BodyReader(ABC):
    """Reads an answer that is one JSON document."""

    def __init__(self) -> None:
        self.tokens = Tokens()
        self.told = False
        self.final = False
        self.ended = False
        self.produced: int | None = None
        self.model: str | None = None
        self._body = bytearray()

    def feed(self, piece: bytes) -> None:
        """Take the next bytes of the answer."""
        if len(self._body) <= MAX_BODY:
            self._body += piece

    def finish(self) -> None:
        """Read the document, if it is one."""
        document = json_object(bytes(self._body))
        self._body.clear()
        self.take(document)
        self.final = self.told

    @abstractmethod
    def take(self, document: dict[str, object]) -> None:
        """Note what the document says of tokens and model; `{}` where it was none."""


class StreamReader(ABC):
    """Reads an answer that is a stream of server-sent events.

    `telling` are bytes without which an event says nothing of usage: the others are not parsed. A line
    longer than `longest` bytes is skipped. Each byte is looked at once, however long its line is: boxes share
    the thread that reads.
    """

    telling: bytes
    longest: int = MAX_LINE
    _LINE_END = re.compile(rb"\r\n|\n|\r")

    def __init__(self) -> None:
        self.tokens = Tokens()
        self.told = False
        self.final = False
        self.ended = False
        self.produced: int | None = 0
        self.model: str | None = None
        self._line = bytearray()
        self._skipping = False
        self._half_ended = False
        self._data: list[bytes] = []

    def feed(self, piece: bytes) -> None:
        """Take the next bytes of the answer."""
        if not piece:
            return
        if self._half_ended:  # the \r of a \r\n was the last byte before
            piece = piece.removeprefix(b"\n")
        self._half_ended = piece.endswith(b"\r")
        first, *others = self._LINE_END.split(piece)
        self._append(first)
        for line in others:
            self._end_line()
            self._append(line)

    def finish(self) -> None:
        """Take what stands in the last, perhaps unfinished, event."""
        self._end_line()
        self._take(b"")

    def _append(self, part: bytes) -> None:
        if not self._skipping:
            self._line += part
        if len(self._line) > self.longest:
            self._line.clear()
            self._skipping = True

    def _end_line(self) -> None:
        line, skipped = bytes(self._line), self._skipping
        self._line.clear()
        self._skipping = False
        if not skipped:
            self._take(line)

    def _take(self, line: bytes) -> None:
        if line.startswith(b"data:") and len(self._data) < MAX_DATA_LINES:
            self._data.append(line[5:].removeprefix(b" "))
        elif not line:
            data, self._data = b"\n".join(self._data), []
            self.produced = (self.produced or 0) + text_in(data)
            if self.telling in data:
                self.event(json_object(data))

    @abstractmethod
    def event(self, event: dict[str, object]) -> None:
        """Note what an event says of tokens and model; `{}` where it was no JSON object."""


def text_in(data: bytes) -> int:
    """The bytes of the texts that an event brings: all that stand behind its first `"delta"`, types aside.

    No token is of less than one byte, so there are no more tokens than that. As escaped, a text has no fewer
    bytes than it has otherwise. The event is not parsed: there may be a thousand a second.
    """
    start = data.find(PIECE)
    return 0 if start < 0 else sum(map(len, _TEXT.findall(data, start)))


def json_object(text: bytes) -> dict[str, object]:
    """The JSON object that a text is; empty where it is none."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def mapping(value: object) -> dict[str, object]:
    """A value of JSON if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def model_name(value: object) -> str | None:
    """A model's name, if it is one."""
    return value[:128] if isinstance(value, str) else None


def count(value: object) -> int | None:
    """A count of tokens, if it is one that can be believed."""
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if 0 <= value <= MAX_COUNT else None
