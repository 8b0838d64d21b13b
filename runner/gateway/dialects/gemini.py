"""The Gemini dialect: generateContent and streamGenerateContent of the Gemini API.

The facts come from the types of the official SDK (`google-genai` 3.6, generated from the public API
description) and from what Gemini CLI 0.61.0 was seen to send. The service reads each field by its name in
lower camel case and in snake case (Protocol Buffers, "JSON Options"), so names are compared without either.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl

from runner.gateway.dialects.asked import MOST_ANSWERS, MOST_OUTPUT, UnreadableError
from runner.gateway.dialects.dialect import Answer, Reach
from runner.gateway.dialects.headers import Headers, key
from runner.gateway.dialects.reading import (
    MAX_BODY,
    BodyReader,
    StreamReader,
    UsageReader,
    count,
    json_object,
    mapping,
    model_name,
)
from runner.gateway.grants import DialectName, Service, Tokens
from runner.tasks.plan import Hosted

_PATH = re.compile(
    r"/v1(?:beta)?/models/(?P<model>[A-Za-z0-9][A-Za-z0-9._-]{0,127})"
    r":(?P<method>generateContent|streamGenerateContent|countTokens)",
    re.ASCII,
)
"""Exactly what goes to the service: the SDK asks `v1`, Gemini CLI `v1beta`. Not the list of models, which no
agent was seen to need."""

_COUNTS = {"generateContent": True, "streamGenerateContent": True, "countTokens": False}

_ALT = ("sse", "json")
"""In which form a stream comes. Nothing else passes: `key` is a credential, `fields` hides the usage."""

_STATUS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    408: "DEADLINE_EXCEEDED",
    413: "INVALID_ARGUMENT",
    415: "INVALID_ARGUMENT",
    426: "FAILED_PRECONDITION",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
"""The canonical code (google.rpc.Code) for an error of that HTTP status."""

RUN_BY_THE_AGENT = frozenset(("functiondeclarations", "computeruse"))
"""Kinds of tools that the agent runs: of the computer, the model only says what to press."""

HOSTED: dict[str, Hosted] = {
    "googlesearch": "web_search",
    "googlesearchretrieval": "web_search",
    "urlcontext": "web_fetch",
    "codeexecution": "code_execution",
}
"""Kinds of tools that the service runs, by the name under which they can be allowed."""

_CALLED: dict[str, Hosted] = {
    "GOOGLE_SEARCH_WEB": "web_search",
    "GOOGLE_SEARCH_IMAGE": "web_search",
    "URL_CONTEXT": "web_fetch",
}
"""The same for calls of such tools, which stand in a conversation that is told again."""

_OPAQUE = frozenset(("args", "partialargs", "response", "partmetadata"))
"""Keys below which stands what functions take and give, which is no part of the API's own form."""

_PASSED_CONTROL = "x-goog-api-client"
"""The one header of Google's own that passes. Others say who pays, what of the answer is left out
(`x-goog-fieldmask`: the usage, if one likes), or that the request is another one."""


class Gemini:
    """The Gemini API."""

    name: DialectName = "gemini"
    root = ""

    def route(self, method: str, path: str) -> bool | None:
        """See `Dialect`."""
        found = _PATH.fullmatch(path)
        return _COUNTS[found["method"]] if found and method == "POST" else None

    def query(self, query: str) -> str | None:
        """See `Dialect`. SDKs that show their key here show a placeholder: it is left out."""
        said = [pair for pair in parse_qsl(query, keep_blank_values=True) if pair[0] != "key"]
        if not said:
            return ""
        return f"alt={said[0][1]}" if len(said) == 1 and said[0] in (("alt", one) for one in _ALT) else None

    def error(self, status: int, message: str, kind: str | None = None) -> Answer:
        """See `Dialect`."""
        usual = "INTERNAL" if status >= 500 else "FAILED_PRECONDITION"
        said = {"code": status, "message": message, "status": kind or _STATUS.get(status, usual)}
        return Answer(status, json.dumps({"error": said}).encode())

    def to_service(self, passed: Headers, service: Service) -> Headers:  # noqa: ARG002 - the same for all
        """See `Dialect`. The body was read as JSON, so it is sent as that and as nothing else."""
        kept = [(name, value) for name, value in passed if not _is_control(key(name))]
        return [*kept, ("content-type", "application/json")]

    def usage_reader(self, path: str, content_type: str) -> UsageReader:
        """See `Dialect`. An answer that names no model is of the one that was asked."""
        reader: UsageReader = ArrayUsage() if path.endswith(":streamGenerateContent") else BodyUsage()
        if content_type.lower().startswith("text/event-stream"):
            reader = EventUsage()
        found = _PATH.fullmatch(path)
        reader.model = found["model"] if found else None
        return reader

    def model(self, path: str, asked: Mapping[str, Any]) -> str:
        """See `Dialect`. It stands in the path.

        Raises:
            UnreadableError: The body names another one.
        """
        found = _PATH.fullmatch(path)
        named = found["model"] if found else ""
        for other in _all(asked, "model"):
            if other not in (named, f"models/{named}"):
                raise UnreadableError("the body names another model than the path does")
        return named

    def most_output(self, asked: Mapping[str, Any]) -> int:
        """See `Dialect`. The bound includes what the model thinks; of several, the largest holds."""
        settings = [mapping(one) for one in _all(asked, "generationconfig")]
        bounds = [one for config in settings for one in _all(config, "maxoutputtokens")]
        times = [one for config in settings for one in _all(config, "candidatecount")]
        each = max((_whole(one, MOST_OUTPUT) for one in bounds), default=MOST_OUTPUT)
        return each * max((_whole(one, MOST_ANSWERS) for one in times), default=1)

    def reaches_out(self, asked: Mapping[str, Any]) -> Iterator[Reach]:
        """See `Dialect`. Kinds of tools that the agent runs are known by name; any other is refused.

        So is what the service keeps of other requests, and files by their address, which may be such.
        """
        pending: list[Mapping[str, Any]] = [asked]
        while pending:
            for name, value in pending.pop().items():
                field = _plain(name)
                if field == "cachedcontent" and value:
                    yield Reach("what it keeps: cached content")
                elif field == "tools":
                    yield from _tools(value)
                elif field == "generatecontentrequest":  # of countTokens
                    pending.append(mapping(value))
                elif field in ("contents", "systeminstruction"):
                    yield from _parts(value)


def _plain(name: str) -> str:
    """A field's name in the one form in which it is compared."""
    return name.replace("_", "").lower()


def _all(asked: Mapping[str, Any], field: str) -> list[Any]:
    """What is said under any spelling of a field's name."""
    return [value for name, value in asked.items() if _plain(name) == field and value is not None]


def _whole(value: object, most: int) -> int:
    """A number of the request, also one in a string, as JSON of Protocol Buffers may be; else the most."""
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,9}", value, re.ASCII):
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= most else most


def _is_control(name: str) -> bool:
    if name.startswith("x-goog-"):
        return name != _PASSED_CONTROL
    return name in ("content-type", "x-http-method-override")


def _tools(given: object) -> Iterator[Reach]:
    for tool in given if isinstance(given, list) else [given]:
        if not isinstance(tool, dict):
            if tool is not None:
                yield Reach("a tool that is no object")
            continue
        for name, value in tool.items():
            kind = _plain(name)
            if value is not None and kind not in RUN_BY_THE_AGENT:  # an empty object switches it on
                yield Reach(f"the tool {name[:60]!r}", HOSTED.get(kind))


def _parts(content: object) -> Iterator[Reach]:
    """What parts of a conversation bring with them from elsewhere, or have the service do."""
    pending = [content]
    while pending:
        part = pending.pop()
        if isinstance(part, list):
            pending.extend(part)
        elif isinstance(part, dict):
            for name, value in part.items():
                field = _plain(name)
                if field == "filedata" and value:
                    yield Reach("a file by its address")
                elif field == "toolcall" and value:
                    kind = next(iter(_all(mapping(value), "tooltype")), None)
                    yield Reach(f"the tool {str(kind)[:60]!r}", _CALLED.get(str(kind)))
                elif field not in _OPAQUE:
                    pending.append(value)


class BodyUsage(BodyReader):
    """Reads the usage of an answer that is one JSON document."""

    def take(self, document: dict[str, object]) -> None:
        """See `BodyReader`."""
        _note(self, document)


class EventUsage(StreamReader):
    """Reads the usage of a stream of events, each of which is a part of the answer with the usage so far.

    The last one holds. A part may hold a whole image in one line.
    """

    telling = b"usageMetadata"
    longest = MAX_BODY

    def event(self, event: dict[str, object]) -> None:
        """See `StreamReader`."""
        _note(self, event)


class ArrayUsage:
    """Reads the same parts where they come as one JSON array, however it is cut: each when it is whole.

    What stands between them does not matter; one longer than `MAX_BODY` bytes is skipped. Each byte is looked
    at once.
    """

    _OUTSIDE, _INSIDE = re.compile(rb'["{}]'), re.compile(rb'["\\]')

    def __init__(self) -> None:
        self.tokens = Tokens()
        self.told = False
        self.final = False
        self.ended = False
        self.produced: int | None = 0
        self.model: str | None = None
        self._part = bytearray()
        self._depth = 0
        self._in_string = False
        self._escaped = False

    def feed(self, piece: bytes) -> None:
        """Take the next bytes of the answer."""
        begun = 0
        for brace in self._braces(piece):
            if brace[0] == b"{":
                begun = begun if self._depth else brace.start()
                self._depth += 1
            elif self._depth:
                self._depth -= 1
                if self._depth == 0:
                    self._keep(piece[begun : brace.end()])
                    self._take()
        if self._depth:
            self._keep(piece[begun:])

    def finish(self) -> None:
        """Take notice that no more bytes will come: a part that is not whole says nothing."""
        self._part.clear()

    def _braces(self, piece: bytes) -> Iterator[re.Match[bytes]]:
        """The braces that stand outside of strings."""
        at = 1 if self._escaped and piece else 0
        self._escaped = self._escaped and not piece
        while mark := (self._INSIDE if self._in_string else self._OUTSIDE).search(piece, at):
            at = mark.end()
            if mark[0] == b"\\":
                self._escaped = at == len(piece)
                at += 1
            elif mark[0] == b'"':
                self._in_string = not self._in_string
            else:
                yield mark

    def _keep(self, piece: bytes) -> None:
        if len(self._part) <= MAX_BODY:
            self._part += piece

    def _take(self) -> None:
        whole = bytes(self._part)
        self._part.clear()
        if EventUsage.telling in whole and len(whole) <= MAX_BODY:
            _note(self, json_object(whole))


def _note(reader: UsageReader, answer: Mapping[str, object]) -> None:
    """Take over the model's name, and the figures of the usage where there is one."""
    named = model_name(answer.get("modelVersion"))
    reader.model = named.removeprefix("models/") if named else reader.model
    usage = answer.get("usageMetadata")
    if isinstance(usage, dict):
        reader.told = True
        reader.tokens = _tokens(usage)


def _tokens(usage: Mapping[str, object]) -> Tokens:
    """The tokens of a usage.

    The service's prompt includes what was read from its cache, but not what its tools brought in; what it
    tells of the answer leaves out what the model thought.
    """
    prompt, cached, brought, said, thought = (
        count(usage.get(f"{name}TokenCount")) or 0
        for name in ("prompt", "cachedContent", "toolUsePrompt", "candidates", "thoughts")
    )
    return Tokens(
        input=max(0, prompt - cached) + brought,
        output=said + thought,
        cache_read=cached,
        reasoning=thought,
    )
