"""The Anthropic Messages dialect: what may be asked, which headers pass, what an answer has used.

Pure: bytes and values in, values out. The facts come from the public API reference and from what
Claude Code was seen to send.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from runner.gateway.grants import MAX_COUNT, Service, Tokens

OAUTH_BETA = "oauth-2025-04-20"
"""The beta flag without which the service refuses a `CLAUDE_CODE_OAUTH_TOKEN`."""

TRANSCRIPT_HEADER = "x-corral-transcript"
"""Which transcript the scripted model plays; set by the gateway alone."""

_FORWARDED = {
    ("POST", "/v1/messages"): True,
    ("POST", "/v1/messages/count_tokens"): False,
    ("GET", "/v1/models"): False,
}
"""Exactly what goes to the service, and whether its answer's usage counts."""

_QUERY = re.compile(r"[A-Za-z0-9\-._~!$&'()*+,;=:@/?%\[\]]*")

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

_ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    529: "overloaded_error",
}

MAX_LINE = 1024 * 1024
"""A line of an event stream beyond this many bytes holds no usage and is skipped."""

MAX_DATA_LINES = 64
"""More `data:` lines than this in one event are ignored; the service sends one."""

MAX_BODY = 16 * 1024 * 1024
"""A JSON answer beyond this many bytes is passed on but not read for its usage."""

Headers = list[tuple[str, str]]


@dataclass(frozen=True)
class Forward:
    """A request that goes to the service: its path and query, and whether its usage counts."""

    target: str
    counts: bool


@dataclass(frozen=True)
class Answer:
    """What the gateway answers by itself; `body` is empty for a HEAD."""

    status: int
    body: bytes = b""


def error_type(status: int) -> str:
    """The service's own word for an error of that HTTP status."""
    return _ERROR_TYPES.get(status, "api_error")


def error(status: int, message: str, kind: str | None = None) -> Answer:
    """An error in the form in which the service itself gives errors."""
    said = {"type": "error", "error": {"type": kind or error_type(status), "message": message}}
    return Answer(status, json.dumps(said).encode())


def decide(method: str, target: str, *, upgrade: bool) -> Forward | Answer:
    """What to do with a request, by its method and its raw, undecoded target."""
    if method == "CONNECT" or upgrade:
        return error(501, "this gateway speaks plain HTTP: no tunnels, no WebSocket, no other protocol")
    if method == "HEAD":
        return Answer(200)
    path, mark, query = target.partition("?")
    counts = _FORWARDED.get((method, path))
    if counts is None or _QUERY.fullmatch(query) is None:
        return error(403, f"this gateway does not forward {method[:16]} {target[:200]}")
    return Forward(path + mark + query, counts)


def to_service(sent: Iterable[tuple[bytes, bytes]], service: Service) -> Headers:
    """The headers that go to the service: the box's own, less what is not its to say, plus the credential.

    Raises:
        ValueError: A header that would pass is not valid UTF-8.
    """
    plain = [(name.decode(), value.decode()) for name, value in sent]
    named = {token.strip().lower() for name, value in plain if _key(name) == "connection"
             for token in value.split(",")}  # fmt: skip
    passed = [(name, value) for name, value in plain if not _is_dropped(_key(name), named)]
    if service.oauth:
        passed = _with_beta(passed, OAUTH_BETA)
    return [*passed, ("accept-encoding", "identity"), *_credential(service)]


def to_script(sent: Iterable[tuple[bytes, bytes]], transcript: str) -> Headers:
    """The headers that go to the scripted model, which is asked for one transcript."""
    nobody = Service(base_url="http://script")
    path = transcript.encode("utf-8", "surrogateescape").hex()
    return [*to_service(sent, nobody), (TRANSCRIPT_HEADER, path)]


def to_box(answered: Iterable[tuple[str, str]]) -> Headers:
    """The headers of the service's answer that the box gets to see."""
    return [
        (name, value)
        for name, value in answered
        if _key(name) not in _DROPPED_FROM_SERVICE and not _key(name).startswith("proxy-")
    ]


def _key(name: str) -> str:
    # Some servers read x_api_key as x-api-key, so the twins are treated as one.
    return name.lower().replace("_", "-")


def _is_dropped(key: str, named: set[str]) -> bool:
    return key in _DROPPED_FROM_BOX or key in named or key.startswith(_DROPPED_PREFIXES)


def _credential(service: Service) -> Headers:
    secret = service.secret.get_secret_value()
    if not secret:
        return []
    return [(service.header, secret if service.header == "x-api-key" else f"Bearer {secret}")]


def _with_beta(headers: Headers, flag: str) -> Headers:
    betas = [index for index, (name, _) in enumerate(headers) if _key(name) == "anthropic-beta"]
    present = {beta.strip() for index in betas for beta in headers[index][1].split(",")}
    if flag in present:
        return headers
    if not betas:
        return [*headers, ("anthropic-beta", flag)]
    name, value = headers[betas[0]]
    return [*headers[: betas[0]], (name, f"{value},{flag}"), *headers[betas[0] + 1 :]]


class UsageReader(Protocol):
    """Reads on the way what an answer has used; right at any moment, also when the answer is cut."""

    tokens: Tokens
    model: str | None

    def feed(self, piece: bytes) -> None:
        """Take the next bytes of the answer."""

    def finish(self) -> None:
        """Take notice that no more bytes will come."""


def usage_reader(content_type: str) -> UsageReader:
    """The reader for an answer of that content type."""
    return StreamUsage() if content_type.lower().startswith("text/event-stream") else BodyUsage()


class BodyUsage:
    """Reads the usage of an answer that is one JSON document."""

    def __init__(self) -> None:
        self.tokens = Tokens()
        self.model: str | None = None
        self._body = bytearray()

    def feed(self, piece: bytes) -> None:
        """Take the next bytes of the answer."""
        if len(self._body) <= MAX_BODY:
            self._body += piece

    def finish(self) -> None:
        """Read the document, if it is one."""
        message = _json_object(bytes(self._body))
        self._body.clear()
        self.model = _model(message)
        self.tokens = _merged(Tokens(), message.get("usage"))


class StreamUsage:
    """Reads the usage of an answer that is a stream of server-sent events.

    `message_start` carries input and cache tokens. Each `message_delta` carries the output so far:
    the last one holds. Servers that only know the input at the end say 0 at first, so a later
    figure replaces an earlier one unless it is 0.
    """

    _LINE_END = re.compile(rb"\r\n|\n|\r(?!\Z)")  # a last \r may be half of \r\n

    def __init__(self) -> None:
        self.tokens = Tokens()
        self.model: str | None = None
        self._line = b""
        self._skipping = False
        self._data: list[bytes] = []

    def feed(self, piece: bytes) -> None:
        """Take the next bytes of the answer."""
        *lines, self._line = self._LINE_END.split(self._line + piece)
        for line in lines:
            if self._skipping:
                self._skipping = False
            else:
                self._take(line)
        if len(self._line) > MAX_LINE:
            self._line, self._skipping = b"", True

    def finish(self) -> None:
        """Take what stands in the last, perhaps unfinished, event."""
        if not self._skipping:
            self._take(self._line.rstrip(b"\r"))
        self._take(b"")

    def _take(self, line: bytes) -> None:
        if line.startswith(b"data:") and len(self._data) < MAX_DATA_LINES:
            self._data.append(line[5:].removeprefix(b" "))
        elif not line:
            data, self._data = b"\n".join(self._data), []
            if b"usage" in data:
                self._event(_json_object(data))

    def _event(self, event: dict[str, object]) -> None:
        if event.get("type") == "message_start":
            message = event.get("message")
            message = message if isinstance(message, dict) else {}
            self.model = _model(message)
            self.tokens = _merged(self.tokens, message.get("usage"))
        elif event.get("type") == "message_delta":
            self.tokens = _merged(self.tokens, event.get("usage"))


def _json_object(text: bytes) -> dict[str, object]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _model(message: dict[str, object]) -> str | None:
    name = message.get("model")
    return name[:128] if isinstance(name, str) else None


def _merged(before: Tokens, usage: object) -> Tokens:
    if not isinstance(usage, dict):
        return before
    output = _count(usage.get("output_tokens"))
    return Tokens(
        input=_count(usage.get("input_tokens")) or before.input,
        output=before.output if output is None else output,
        cache_read=_count(usage.get("cache_read_input_tokens")) or before.cache_read,
        cache_write=_count(usage.get("cache_creation_input_tokens")) or before.cache_write,
    )


def _count(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if 0 <= value <= MAX_COUNT else None
