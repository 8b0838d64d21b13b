"""What a recording of a box's model traffic is: a file of JSON lines, written at its end only, and read back.

    {"kind": "recording", "schema": 1, "run": "night", "attempt": "fix/steady/1"}
    {"kind": "part", "sha256": "9f86…", "text": "…"}
    {"kind": "request", "n": 1, "at": 1764150000.1, "method": "POST", "target": "/v1/messages",
     "headers": [["anthropic-version", "2023-06-01"], …], "body": ["9f86…", …]}
    {"kind": "answer", "n": 1, "status": 200, "headers": […], "body": ["60ae…"],
     "pieces": [[0, 120], [13, 88]], "whole": true}
    {"kind": "incomplete", "why": "…"}

Bodies are made of parts, addressed by their hash and held once: a conversation that grows repeats what it
said before, and its parts with it. A part that is not UTF-8 stands as `base64`. `pieces` are the answer's
pieces as they came: milliseconds since its head, and bytes. A file whose writer was killed holds what was
written until then; its last line may be half a line, and a request may lack its answer.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runner.errors import Problem, TaskFileError
from runner.gateway.playing.redact import without_keys

SCHEMA = 1

MAX_FILE = 256 * 1024 * 1024
"""Bytes of one recording; a night's attempt was not seen to need a tenth of it."""

LARGEST_PART = 64 * 1024
"""Bytes; so that no line keeps other threads waiting, and long answers share parts too."""

HEAD = b'{"kind": "recording"'
"""How a recording begins."""

KEPT_OF_REQUEST = frozenset(
    ("user-agent", "content-type", "anthropic-version", "anthropic-beta", "openai-beta")
)
KEPT_OF_ANSWER = frozenset(("content-type", "request-id", "x-request-id", "retry-after"))
"""Headers that are recorded: named one by one, so that one that holds a key can't slip in.

Limits that a service tells are not among them: played again, they would be told of another time.
"""

Headers = list[tuple[str, str]]
Piece = tuple[int, int]

_STEP = re.compile(rb'[,\[]\s?\{"')
_WORD = re.compile(rb"[A-Za-z0-9_\-\x80-\xff]+\Z")
_SMALLEST = 128


def cut(body: bytes) -> Iterator[bytes]:
    """The body in parts, none of which ends within what could be a key.

    Each begins where an object in a list does, so that bodies which hold the same messages, or tools, share
    parts, whatever else stands before and after.
    """
    start = 0
    for step in _STEP.finditer(body):
        place = step.start() + 1
        if place - start >= _SMALLEST:
            yield from _slices(body[start:place])
            start = place
    yield from _slices(body[start:])


def _slices(part: bytes) -> Iterator[bytes]:
    while len(part) > LARGEST_PART:
        end = LARGEST_PART
        word = _WORD.search(part, end - 256, end)  # not within a letter of several bytes
        if word is not None and word.start() > end - 256:
            end = word.start()
        yield part[:end]
        part = part[end:]
    if part:
        yield part


def digest(part: bytes) -> str:
    """The name of a part."""
    return hashlib.sha256(part).hexdigest()


class Lines:
    """Makes the lines of one recording, without what looks like a key and without other headers.

    `known` are the parts that the file holds already, `last` the last number of a request in it.
    """

    def __init__(self, known: set[str], last: int = 0) -> None:
        self.known = known
        self.last = last
        self.begin()

    def begin(self) -> None:
        """What is made from here on is written as a whole, or undone."""
        self._before: tuple[int, list[str]] = self.last, []

    def undo(self) -> None:
        """What was made since the beginning was not written."""
        self.last, fresh = self._before
        self.known.difference_update(fresh)

    @staticmethod
    def head(run: str, attempt: str) -> bytes:
        """The first line."""
        return _line({"kind": "recording", "schema": SCHEMA, "run": run, "attempt": attempt})

    def request(self, at: float, method: str, target: str, headers: Headers, body: bytes) -> Iterator[bytes]:
        """The lines of a request; its number is then `last`."""
        self.last += 1
        names = yield from self._parts(cut(body))
        said = {"n": self.last, "at": at, "method": method, "target": _hidden(target)}
        yield _line({"kind": "request", **said, "headers": _kept(headers, KEPT_OF_REQUEST), "body": names})

    def answer(
        self, number: int, status: int, headers: Headers, body: bytes, pieces: list[Piece], *, whole: bool
    ) -> Iterator[bytes]:
        """The lines of the answer to the request of that number."""
        names = yield from self._parts(_slices(body))
        said = {"n": number, "status": status, "headers": _kept(headers, KEPT_OF_ANSWER)}
        yield _line({"kind": "answer", **said, "body": names, "pieces": pieces, "whole": whole})

    @staticmethod
    def incomplete(why: str) -> bytes:
        """The line that says that traffic is missing from here on."""
        return _line({"kind": "incomplete", "why": why})

    def _parts(self, parts: Iterable[bytes]) -> Generator[bytes, None, list[str]]:
        names = []
        for raw in parts:
            part, name = raw, digest(raw)
            if name not in self.known:  # else it holds no key: it was looked through then
                part = without_keys(raw)
                name = digest(part)
            names.append(name)
            if name not in self.known:
                self.known.add(name)
                self._before[1].append(name)
                yield _line({"kind": "part", "sha256": name, **_told(part)})
        return names


def _kept(headers: Headers, kept: frozenset[str]) -> Headers:
    return [(name, _hidden(value)) for name, value in headers if name.lower() in kept]


def _hidden(text: str) -> str:
    return without_keys(text.encode("utf-8", "surrogateescape")).decode("utf-8", "replace")


def _told(part: bytes) -> dict[str, str]:
    try:
        return {"text": part.decode()}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(part).decode()}


def _line(value: dict[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode() + b"\n"


@dataclass
class Answered:
    """A recorded answer, or what came of it."""

    status: int
    headers: Headers
    body: tuple[str, ...]
    pieces: tuple[Piece, ...]
    whole: bool


@dataclass
class Recorded:
    """One request, and its answer if one was recorded."""

    number: int
    method: str
    target: str
    headers: Headers
    body: tuple[str, ...]
    answer: Answered | None = None


@dataclass
class Recording:
    """All that a recording holds; `incomplete` says why traffic is missing, if any is known to be."""

    run: str
    attempt: str
    exchanges: list[Recorded] = field(default_factory=list)
    parts: dict[str, bytes] = field(default_factory=dict)
    incomplete: str = ""

    def bytes_of(self, names: Iterable[str]) -> bytes:
        """A body."""
        return b"".join(self.parts[name] for name in names)


def is_recording(file: Path) -> bool:
    """Whether a file begins as a recording does; False where it can't be read."""
    try:
        with file.open("rb") as content:
            return content.read(len(HEAD)) == HEAD
    except OSError:
        return False


def load(file: Path) -> Recording:
    """Read a recording.

    Raises:
        TaskFileError: The file can't be read, or is not a recording; with the line.
    """
    try:
        if file.stat().st_size > 2 * MAX_FILE:
            raise TaskFileError(file, [Problem("too large for a recording")])
        with file.open("rb") as lines:
            return read(lines, file)
    except OSError as failure:
        cure = "`upstream: replay:PATH` names it, or a directory of TASK+PROFILE+N.jsonl"
        raise TaskFileError(
            file, [Problem(f"the recording can't be read: {failure.strerror}", cure=cure)]
        ) from failure


def read(lines: Iterable[bytes], file: Path | str) -> Recording:
    """Read a recording's lines; `file` is only named in errors. A last line without an end is left out.

    Raises:
        TaskFileError: They are not a recording.
    """
    made: Recording | None = None
    for number, line in enumerate(lines, 1):
        if not line.endswith(b"\n"):
            break
        try:
            said = json.loads(line)
            if made is None:
                made = _begun(said)
            else:
                _take(made, said)
        except (ValueError, KeyError, TypeError, RecursionError, binascii.Error) as wrong:
            words = f"not a line of a recording: {_words(wrong)}"
            raise TaskFileError(file, [Problem(words, number, "record it again")]) from wrong
    if made is None:
        raise TaskFileError(file, [Problem("not a recording: it is empty", cure="record it again")])
    return made


def _words(wrong: Exception) -> str:
    return f"{wrong} is missing" if isinstance(wrong, KeyError) else str(wrong)[:200]


def _begun(said: dict[str, Any]) -> Recording:
    if said["kind"] != "recording" or said["schema"] != SCHEMA:
        raise ValueError(f"it does not begin as one of format {SCHEMA}")
    return Recording(str(said["run"]), str(said["attempt"]))


def _take(made: Recording, said: dict[str, Any]) -> None:
    match said["kind"]:
        case "part":
            part = (
                said["text"].encode() if "text" in said else base64.b64decode(said["base64"], validate=True)
            )
            if digest(part) != said["sha256"]:
                raise ValueError("a part is not what its hash says")
            made.parts[said["sha256"]] = part
        case "request":
            names = _known(made, said["body"])
            headers = _headers(said["headers"])
            number, method, target = int(said["n"]), str(said["method"]), str(said["target"])
            made.exchanges.append(Recorded(number, method, target, headers, names))
        case "answer":
            asked = next((one for one in reversed(made.exchanges) if one.number == said["n"]), None)
            if asked is None:
                raise ValueError("an answer to what was not asked")
            asked.answer = Answered(
                int(said["status"]),
                _headers(said["headers"]),
                _known(made, said["body"]),
                tuple((int(after), int(size)) for after, size in said["pieces"]),
                whole=said["whole"] is True,
            )
        case "incomplete":
            made.incomplete = made.incomplete or str(said["why"])
        case other:
            raise ValueError(f"a line of the kind {str(other)[:40]!r}")


def _known(made: Recording, names: list[str]) -> tuple[str, ...]:
    for name in names:
        if name not in made.parts:
            raise ValueError(f"the part {str(name)[:12]} does not stand before it")
    return tuple(names)


def _headers(said: list[list[str]]) -> Headers:
    return [(str(name), str(value)) for name, value in said]
