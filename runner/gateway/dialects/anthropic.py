"""The Anthropic Messages dialect.

The facts come from the public API reference and from what Claude Code was seen to send.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from runner.gateway.dialects.asked import model, most_output, objects
from runner.gateway.dialects.dialect import Answer, Reach
from runner.gateway.dialects.headers import Headers, key
from runner.gateway.dialects.reading import (
    BodyReader,
    StreamReader,
    UsageReader,
    count,
    mapping,
    model_name,
)
from runner.gateway.grants import DialectName, Service, Tokens
from runner.tasks.plan import Hosted

OAUTH_BETA = "oauth-2025-04-20"
"""The beta flag without which the service refuses a `CLAUDE_CODE_OAUTH_TOKEN`."""

_FORWARDED = {
    ("POST", "/v1/messages"): True,
    ("POST", "/v1/messages/count_tokens"): False,
    ("GET", "/v1/models"): False,
}
"""Exactly what goes to the service, and whether its answer's usage counts."""

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

RUN_BY_THE_AGENT = ("custom", "bash_", "text_editor_", "computer_", "memory_", "tool_search_tool_")
"""Types, or how they begin, of tools that reach nothing by themselves. Source: the Messages API's reference,
"Tool use": client tools; `tool_search_tool_…` looks in the request's own list of tools."""

HOSTED: dict[str, Hosted] = {
    "web_search": "web_search",
    "web_fetch": "web_fetch",
    "code_execution": "code_execution",
}
"""Tools that the service runs, by their type without its version (`web_search_20250305`)."""

_VERSIONED = re.compile(r"([a-z_]+)_[0-9]{8}", re.ASCII)

REACHING = ("mcp_servers", "container")
"""Keys of a request that connect it with something besides the model."""


def error_type(status: int) -> str:
    """The service's own word for an error of that HTTP status."""
    return _ERROR_TYPES.get(status, "api_error")


class Anthropic:
    """The Messages API."""

    name: DialectName = "anthropic"
    root = ""

    def route(self, method: str, path: str) -> bool | None:
        """See `Dialect`."""
        return _FORWARDED.get((method, path))

    def query(self, query: str) -> str | None:
        """See `Dialect`."""
        return query

    def error(self, status: int, message: str, kind: str | None = None) -> Answer:
        """See `Dialect`."""
        said = {"type": "error", "error": {"type": kind or error_type(status), "message": message}}
        return Answer(status, json.dumps(said).encode())

    def to_service(self, passed: Headers, service: Service) -> Headers:
        """See `Dialect`."""
        return _with_beta(passed, OAUTH_BETA) if service.oauth else passed

    def usage_reader(self, path: str, content_type: str) -> UsageReader:  # noqa: ARG002 - one form for all paths
        """See `Dialect`."""
        return StreamUsage() if content_type.lower().startswith("text/event-stream") else BodyUsage()

    def model(self, path: str, asked: Mapping[str, Any]) -> str:  # noqa: ARG002 - it stands in the body
        """See `Dialect`."""
        return model(asked)

    def most_output(self, asked: Mapping[str, Any]) -> int:
        """See `Dialect`."""
        return most_output(asked)

    def reaches_out(self, asked: Mapping[str, Any]) -> Iterator[Reach]:
        """See `Dialect`. Kinds of tools that the agent's own CLI runs are known by name.

        Any other is refused, so that a new one is closed until it is looked at.
        """
        yield from (Reach(key) for key in REACHING if asked.get(key))
        for tool in objects(asked.get("tools")):
            kind = tool.get("type") or "custom"
            if not isinstance(kind, str) or not kind.startswith(RUN_BY_THE_AGENT):
                yield Reach(f"the tool {str(kind)[:60]!r}", _hosted(kind))
        yield from _fetched(
            [asked.get("system"), *(m.get("content") for m in objects(asked.get("messages")))]
        )


def _hosted(kind: object) -> Hosted | None:
    """The name of a tool that the service runs, whichever version of it is asked for."""
    versioned = _VERSIONED.fullmatch(kind) if isinstance(kind, str) else None
    return HOSTED.get(versioned[1]) if versioned else None


def _fetched(contents: Iterable[object]) -> Iterator[Reach]:
    """Images and documents that the service would fetch, or that it keeps."""
    pending = list(contents)
    while pending:
        for block in objects(pending.pop()):
            source = block.get("source")
            if isinstance(source, dict) and "url" in {source.get("type"), *source}:
                yield Reach(f"a {str(block.get('type'))[:20]} by its URL", "web_fetch")
            if block.get("file_id") or mapping(source).get("file_id"):
                yield Reach("an uploaded file")
            pending.extend((block.get("content"), [source] if isinstance(source, dict) else None))


def _with_beta(headers: Headers, flag: str) -> Headers:
    betas = [index for index, (name, _) in enumerate(headers) if key(name) == "anthropic-beta"]
    present = {beta.strip() for index in betas for beta in headers[index][1].split(",")}
    if flag in present:
        return headers
    if not betas:
        return [*headers, ("anthropic-beta", flag)]
    name, value = headers[betas[0]]
    return [*headers[: betas[0]], (name, f"{value},{flag}"), *headers[betas[0] + 1 :]]


class BodyUsage(BodyReader):
    """Reads the usage of an answer that is one JSON document."""

    def take(self, document: dict[str, object]) -> None:
        """See `BodyReader`."""
        self.model = model_name(document.get("model"))
        self.told = isinstance(document.get("usage"), dict)
        self.tokens = _merged(Tokens(), document.get("usage"))


class StreamUsage(StreamReader):
    """Reads the usage of an answer that is a stream.

    `message_start` carries input and cache tokens. Each `message_delta` carries the output so far:
    the last one holds, and says why it stopped. Servers that only know the input at the end say 0 at
    first, so a later figure replaces an earlier one unless it is 0.
    """

    telling = b"usage"

    def event(self, event: dict[str, object]) -> None:
        """See `StreamReader`."""
        if event.get("type") == "message_start":
            message = mapping(event.get("message"))
            self.model = model_name(message.get("model"))
            self._merge(message.get("usage"))
        elif event.get("type") == "message_delta":
            self._merge(event.get("usage"))
            self.final |= mapping(event.get("delta")).get("stop_reason") is not None

    def _merge(self, usage: object) -> None:
        self.told |= isinstance(usage, dict)
        self.tokens = _merged(self.tokens, usage)


def _merged(before: Tokens, usage: object) -> Tokens:
    if not isinstance(usage, dict):
        return before
    output = count(usage.get("output_tokens"))
    return Tokens(
        input=count(usage.get("input_tokens")) or before.input,
        output=before.output if output is None else output,
        cache_read=count(usage.get("cache_read_input_tokens")) or before.cache_read,
        cache_write=count(usage.get("cache_creation_input_tokens")) or before.cache_write,
        hour_write=count(mapping(usage.get("cache_creation")).get("ephemeral_1h_input_tokens"))
        or before.hour_write,
    )
