"""One message as a box wrote it: taken if it is small, plain JSON, and refused with a reason otherwise. Pure.

What a box sends is a stranger's words. Who sent it, when, and as which message is the supervisor's to say.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass

from pydantic import JsonValue

from runner.tasks.plan import PERSON

MOST_BYTES = 16 * 1024
"""Of one message. What is larger belongs into a file of the work."""
MOST_SENT = 50
"""Messages that are read of one try of an attempt."""
MOST_QUESTIONS = 10
"""Questions to a person among them: with patience, each can take long."""
MOST_IN_RUN = 1000
"""Messages of a run: with their size they bound what mail takes of the journal, and of each inbox."""
MOST_DEEP = 32
"""Lists and objects within one another in a payload; readers of JSON differ from some 100 on."""
MOST_QUESTION = 4000
"""Characters of a question."""

QUESTION, ANSWER, REFUSED = "question", "answer", "refused"
NO_MORE, TOO_MANY_FILES = "*sent", "*files"
"""Stand where a file's name would, in what is refused of an outbox as a whole."""

FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}\.json")
"""Names of files that are read as messages."""
_TYPE = re.compile(r"[a-z][a-z0-9-]{0,31}")
_KEYS = frozenset({"id", "from", "to", "type", "payload", "timestamp"})
_OURS = frozenset({"id", "from", "timestamp"})
"""What a sender may write and is not heeded."""


class RefusedError(ValueError):
    """A message that is not delivered: why, in words for its sender.

    `broken` says that it may only be half written.
    """

    def __init__(self, reason: str, *, broken: bool = False) -> None:
        super().__init__(reason)
        self.broken = broken


@dataclass(frozen=True)
class Sent:
    """A message as its sender wrote it."""

    to: str
    type: str
    payload: JsonValue


def read(content: bytes) -> Sent:
    """The message that a file holds; what it says of its own id, sender and time is not heeded.

    Raises:
        RefusedError: It is none.
    """
    if len(content) > MOST_BYTES:
        raise RefusedError(f"it holds more than {MOST_BYTES} bytes")
    try:
        found = json.loads(content.decode(), object_pairs_hook=_once, parse_constant=_no_number)
        json.dumps(found, ensure_ascii=False, allow_nan=False).encode()  # half a surrogate pair, 1e999
    except RecursionError as error:
        raise RefusedError(f"it is more than {MOST_DEEP} levels deep") from error
    except ValueError as error:
        raise RefusedError(f"it is not JSON: {_short(str(error))}", broken=True) from error
    if not isinstance(found, dict):
        raise RefusedError('it is no JSON object like {"to": …, "type": …, "payload": …}')
    if unknown := sorted(set(found) - _KEYS):
        raise RefusedError(f"it has a key {_short(unknown[0])!a} that no message has")
    if lacking := sorted(_KEYS - _OURS - set(found)):
        raise RefusedError(f"it lacks {lacking[0]!r}")
    return _sent(found["to"], found["type"], found["payload"])


def _sent(to: object, kind: object, payload: JsonValue) -> Sent:
    if not isinstance(to, str):
        raise RefusedError("'to' is not the name of a task, or 'person', or 'all'")
    if not isinstance(kind, str) or _TYPE.fullmatch(kind) is None:
        raise RefusedError("'type' is not a word like 'note': a-z, 0-9 and -, at most 32 of them")
    if kind == REFUSED:
        raise RefusedError(f"messages of type {REFUSED!r} are sent by corral alone")
    _bounded(payload)
    if (to, kind) == (PERSON, QUESTION) and not _is_question(payload):
        raise RefusedError(
            f"the payload of a question to a person is text of at most {MOST_QUESTION} letters"
        )
    return Sent(to, kind, payload)


def _is_question(payload: JsonValue) -> bool:
    return isinstance(payload, str) and payload.strip() != "" and len(payload) <= MOST_QUESTION


def _bounded(payload: JsonValue) -> None:
    """See that every reader of JSON, the journal's first, can take it."""
    level: list[JsonValue] = [payload]
    for _ in range(MOST_DEEP):
        for value in level:
            if isinstance(value, int) and not -(2**63) <= value < 2**63:
                raise RefusedError("it holds a whole number of more than 64 bits")
        level = [inner for value in level for inner in _inside(value)]
        if not level:
            return
    raise RefusedError(f"it is more than {MOST_DEEP} levels deep")


def _inside(value: JsonValue) -> Iterable[JsonValue]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _once(pairs: list[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
    if len(pairs) > len(dict(pairs)):
        raise ValueError("a key is given twice")
    return dict(pairs)


def _no_number(word: str) -> JsonValue:
    raise ValueError(f"{word} is no number")


def _short(text: str) -> str:
    return text[:80]


def shown_name(name: str) -> str:
    """A name that a box gave to a file, as it can be told: every odd character is an escape."""
    return name if FILE.fullmatch(name) else ascii(name[:100])
