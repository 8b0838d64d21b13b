"""The OpenAI dialect: the Responses and the Chat Completions API.

The facts come from the types of the official SDK (`openai` 3.57, generated from the public API description)
and from what Codex 0.169.0 was seen to send.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from runner.gateway.dialects.asked import objects
from runner.gateway.dialects.dialect import Answer
from runner.gateway.dialects.headers import Headers
from runner.gateway.dialects.reading import (
    BodyReader,
    StreamReader,
    UsageReader,
    count,
    mapping,
    model_name,
)
from runner.gateway.grants import DialectName, Service, Tokens

CHAT = "/v1/chat/completions"
RESPONSES = "/v1/responses"

_FORWARDED = {("POST", RESPONSES): True, ("POST", CHAT): True, ("GET", "/v1/models"): False}
"""Exactly what goes to the service, and whether its answer's usage counts."""

_ERRORS = {
    401: ("authentication_error", "invalid_api_key"),
    403: ("permission_error", None),
    429: ("rate_limit_error", "rate_limit_exceeded"),
}
"""The service's words, type and code, for an error of that HTTP status."""

RUN_BY_THE_AGENT = ("function", "custom", "local_shell", "apply_patch", "computer", "computer_use_preview")
"""Types of tools that the agent's own CLI runs, whatever else the request says of them."""

SEARCHING = "-search-"
"""In a model's name: it looks into the web without being given a tool (`gpt-4o-search-preview`)."""

_HOLDING = ("content", "output", "file")
"""Keys under which parts of a conversation hold further parts."""

LONGEST_EVENT = 4 * 1024 * 1024
"""`response.completed` repeats the whole answer and the request's tools in one line, with the usage in it."""


class OpenAI:
    """The Responses and the Chat Completions API."""

    name: DialectName = "openai"

    def route(self, method: str, path: str) -> bool | None:
        """See `Dialect`."""
        return _FORWARDED.get((method, path))

    def error(self, status: int, message: str, kind: str | None = None) -> Answer:
        """See `Dialect`. A kind is told as type and as code: clients look at either."""
        usual = "server_error" if status >= 500 else "invalid_request_error"
        of_status, code = _ERRORS.get(status, (usual, None))
        said = {"message": message, "type": kind or of_status, "param": None, "code": kind or code}
        return Answer(status, json.dumps({"error": said}).encode())

    def to_service(self, passed: Headers, service: Service) -> Headers:  # noqa: ARG002 - nothing is added
        """See `Dialect`."""
        return passed

    def usage_reader(self, path: str, content_type: str) -> UsageReader:
        """See `Dialect`."""
        if not content_type.lower().startswith("text/event-stream"):
            return BodyUsage()
        return ChatStream() if path == CHAT else ResponsesStream()

    def reaches_out(self, asked: Mapping[str, Any]) -> Iterator[str]:
        """See `Dialect`. Kinds of tools that the agent's own CLI runs are known by name.

        Any other is refused, so that a new one is closed until it is looked at. What the service keeps of
        earlier requests (`previous_response_id`, `conversation`) is the model's own answer still.
        """
        yield from _settings(asked)
        yield from _tools([asked, *objects(asked.get("input"))])
        yield from _fetched([asked.get("input"), asked.get("messages")])


def _settings(asked: Mapping[str, Any]) -> Iterator[str]:
    if asked.get("background"):
        yield "background work"
    if asked.get("prompt"):
        yield "a prompt kept at the service, which can bring tools"
    if asked.get("web_search_options") is not None:  # an empty object switches it on
        yield "its web search"
    if SEARCHING in f"{asked.get('model')}-":
        yield f"the web, as the model {str(asked.get('model'))[:60]!r} does"
    choice = mapping(asked.get("tool_choice")).get("type", "function")
    if choice not in ("allowed_tools", "shell", *RUN_BY_THE_AGENT):
        yield f"the tool {str(choice)[:60]!r}"


def _tools(holders: list[Any]) -> Iterator[str]:
    """Tools of the request, of its `additional_tools` items, and of the namespaces among them."""
    pending = [tool for holder in holders for tool in objects(holder.get("tools"))]
    while pending:
        tool = pending.pop()
        kind = tool.get("type") or "function"
        if kind == "namespace":
            pending += objects(tool.get("tools"))
        elif not _is_run_by_the_agent(kind, tool):
            yield f"the tool {str(kind)[:60]!r}"


def _is_run_by_the_agent(kind: object, tool: Mapping[str, Any]) -> bool:
    if kind == "tool_search":
        return tool.get("execution") == "client"
    if kind == "shell":
        return mapping(tool.get("environment")).get("type") == "local"
    return kind in RUN_BY_THE_AGENT


def _fetched(pending: list[object]) -> Iterator[str]:
    """Images and files that the service would fetch, or take from what was uploaded to it."""
    while pending:
        value = pending.pop()
        for part in [value] if isinstance(value, dict) else objects(value):
            if part.get("file_id") or part.get("file_ids"):
                yield "an uploaded file"
            if any(name.endswith("_url") and _is_elsewhere(url) for name, url in part.items()):
                yield f"a {str(part.get('type'))[:20]} by its URL"
            pending.extend(part.get(name) for name in _HOLDING)


def _is_elsewhere(url: object) -> bool:
    """Whether a URL, or an object that holds one, is anything but data given with the request."""
    plain = url.get("url") if isinstance(url, dict) else url
    return bool(plain) and not (isinstance(plain, str) and plain.startswith("data:"))


class BodyUsage(BodyReader):
    """Reads the usage of an answer that is one JSON document, of either API."""

    def take(self, document: dict[str, object]) -> None:
        """See `BodyReader`."""
        self.model = model_name(document.get("model"))
        self.tokens = _tokens(document.get("usage")) or Tokens()


class ResponsesStream(StreamReader):
    """Reads the usage of a stream of the Responses API.

    The first event names the model; the last one, `response.completed`, `response.incomplete` or
    `response.failed`, holds the usage. Of a stream that is cut before it, nothing is known but the model.
    """

    telling = b"usage"
    longest = LONGEST_EVENT

    def event(self, event: dict[str, object]) -> None:
        """See `StreamReader`."""
        response = mapping(event.get("response"))
        self.model = model_name(response.get("model")) or self.model
        self.tokens = _tokens(response.get("usage")) or self.tokens


class ChatStream(StreamReader):
    """Reads the usage of a stream of the Chat Completions API.

    It stands in the last chunk, and only if the request said `stream_options: {include_usage: true}`.
    Servers that tell it in every chunk tell the sum so far, so the last one holds.
    """

    telling = b"usage"

    def event(self, event: dict[str, object]) -> None:
        """See `StreamReader`."""
        self.model = model_name(event.get("model")) or self.model
        self.tokens = _tokens(event.get("usage")) or self.tokens


def _tokens(usage: object) -> Tokens | None:
    """The tokens of a usage of either API; None where it is none.

    The service's input includes what was read from and written to its cache, its output the reasoning.
    """
    if not isinstance(usage, dict):
        return None
    told = mapping(usage.get("input_tokens_details")) or mapping(usage.get("prompt_tokens_details"))
    made = mapping(usage.get("output_tokens_details")) or mapping(usage.get("completion_tokens_details"))
    read, written = count(told.get("cached_tokens")) or 0, count(told.get("cache_write_tokens")) or 0
    whole = _either(usage, "input_tokens", "prompt_tokens")
    return Tokens(
        input=max(0, whole - read - written),
        output=_either(usage, "output_tokens", "completion_tokens"),
        cache_read=read,
        cache_write=written,
        reasoning=count(made.get("reasoning_tokens")) or 0,
    )


def _either(usage: Mapping[str, object], one: str, other: str) -> int:
    return count(usage.get(one)) or count(usage.get(other)) or 0
