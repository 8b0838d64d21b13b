"""Which headers pass between a box and a service, the same for every dialect."""

from __future__ import annotations

import re
from collections.abc import Iterable

from runner.gateway.grants import Script, Service

Headers = list[tuple[str, str]]

TRANSCRIPT_HEADER = "x-corral-transcript"
"""Which file the scripted model plays; set by the gateway alone."""
STRICT_HEADER = "x-corral-strict"
"""Set where what departs from a recording is refused."""
REPLAYED_HEADER = "x-corral-replayed"
"""What the scripted model tells the gateway of a recording that it plays: a `Replayed`; no box sees it."""

_HOP_BY_HOP = frozenset(
    ("connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "content-length", "expect")
)
_CREDENTIALS = frozenset(("x-api-key", "api-key", "x-goog-api-key", "authorization", "cookie", "cookie2"))
_ROUTING = frozenset(("host", "accept-encoding", "forwarded", "via", "x-real-ip"))
_DROPPED_FROM_BOX = _HOP_BY_HOP | _CREDENTIALS | _ROUTING
_DROPPED_PREFIXES = ("proxy-", "x-forwarded-", "x-corral-")
_DROPPED_FROM_SERVICE = _HOP_BY_HOP | {
    "set-cookie",
    "set-cookie2",
    "alt-svc",
    "content-encoding",
    "x-should-retry",  # it would tell the agent how often to retry, which is for the gateway to say
}


def from_box(sent: Iterable[tuple[bytes, bytes]]) -> Headers:
    """The headers of a box that pass: all but those that are not its to say.

    Raises:
        ValueError: A header that would pass is not valid UTF-8.
    """
    plain = [(name.decode(), value.decode()) for name, value in sent]
    named = {token.strip().lower() for name, value in plain if key(name) == "connection"
             for token in value.split(",")}  # fmt: skip
    passed = [(name, value) for name, value in plain if not _is_dropped(key(name), named)]
    return [*passed, ("accept-encoding", "identity")]


def credential(service: Service) -> Headers:
    """The one header in which the service is shown its key, if it asks for one."""
    secret = service.secret.get_secret_value()
    if not secret:
        return []
    return [(service.header, f"Bearer {secret}" if service.header == "authorization" else secret)]


def for_script(script: Script) -> Headers:
    """What the scripted model is told: which file it plays, and how."""
    file = script.transcript.encode("utf-8", "surrogateescape").hex()
    return [(TRANSCRIPT_HEADER, file), *([(STRICT_HEADER, "1")] if script.strict else [])]


def to_box(answered: Iterable[tuple[str, str]]) -> Headers:
    """The headers of the service's answer that the box gets to see."""
    return [
        (name, value)
        for name, value in answered
        if key(name) not in _DROPPED_FROM_SERVICE and not key(name).startswith(("proxy-", "x-corral-"))
    ]


LONGEST_PAUSE = 59
"""Seconds: Claude Code takes a longer `retry-after` for a final refusal, and Codex a 429 without one."""


def asking_again(status: int, passed: Headers) -> Headers:
    """The headers of an error with a `retry-after` that no agent takes for more than it says."""
    told = [value for name, value in passed if key(name) == "retry-after"]
    if status < 400 or (not told and status != 429):
        return passed
    short = bool(told) and re.fullmatch(r"[0-9]{1,2}", told[0]) is not None and int(told[0]) <= LONGEST_PAUSE
    others = [(name, value) for name, value in passed if key(name) != "retry-after"]
    return [*others, ("retry-after", told[0] if short else str(LONGEST_PAUSE))]


def key(name: str) -> str:
    """A header's name for comparing: some servers read x_api_key as x-api-key, so twins are one."""
    return name.lower().replace("_", "-")


def _is_dropped(key: str, named: set[str]) -> bool:
    return key in _DROPPED_FROM_BOX or key in named or key.startswith(_DROPPED_PREFIXES)
