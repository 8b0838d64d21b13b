"""The OpenAI dialect: the Responses and the Chat Completions API.

The facts come from the types of the official SDK (`openai` 3.57, generated from the public API description)
and from what Codex 0.169.0 was seen to send.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from runner.gateway.dialects.asked import model, most_output, objects
from runner.gateway.dialects.dialect import Answer, Reach
from runner.gateway.dialects.headers import Headers, key
from runner.gateway.dialects.reading import (
    MAX_BODY,
    BodyReader,
    StreamReader,
    UsageReader,
    count,
    mapping,
    model_name,
)
from runner.gateway.grants import DialectName, Service, Tokens
from runner.tasks.plan import Hosted

CHAT = "/v1/chat/completions"
RESPONSES = "/v1/responses"

_FORWARDED = {("POST", RESPONSES): True, ("POST", CHAT): True}
"""Exactly what goes to the service, and whether its answer's usage counts.

Not the list of models: it names those that the account's owner made, and no agent was seen to need it.
"""

_ERRORS = {
    401: ("authentication_error", "invalid_api_key"),
    403: ("permission_error", None),
    429: ("rate_limit_error", "rate_limit_exceeded"),
}
"""The service's words, type and code, for an error of that HTTP status."""

SPENT = 402
"""What the gateway says when a budget is spent, and the service never does."""

RUN_BY_THE_AGENT = ("function", "custom", "local_shell", "apply_patch", "computer", "computer_use_preview")
"""Types of tools that the agent's own CLI runs, whatever else the request says of them."""

HOSTED: dict[str, Hosted] = {
    "web_search": "web_search",
    "web_search_2025_08_26": "web_search",
    "web_search_preview": "web_search",
    "web_search_preview_2025_03_11": "web_search",
    "code_interpreter": "code_execution",
    "shell": "code_execution",
}
"""Types of tools that the service runs, by the name under which they can be allowed."""

_CONTAINERS = {"code_interpreter": "container", "shell": "environment"}
"""Under which key such a tool says where its code runs."""

RESUMING = ("program", "mcp_approval_response")
"""Types of parts of a conversation at which the service goes on with what it runs itself."""

SEARCHING = ("-search-", "deep-research")
"""In a model's name: it looks into the web by itself (`gpt-4o-search-preview`)."""

KEPT = ("previous_response_id", "conversation", "prompt")
"""Keys of a request that bring in what the service keeps, and nobody here has looked into."""

PAYERS = ("openai-organization", "openai-project")
"""Headers that say on whose account a request goes, which is not a box's to say."""

_HOLDING = ("content", "output", "file", "audio")
"""Keys under which parts of a conversation hold further parts."""

_LAST = ("response.completed", "response.incomplete", "response.failed")
"""The last events of a stream of the Responses API."""

LONGEST_EVENT = MAX_BODY
"""`response.completed` repeats in one line the whole answer and much of the request, with the usage in it."""


class OpenAI:
    """The Responses and the Chat Completions API."""

    name: DialectName = "openai"
    root = "/v1"

    def route(self, method: str, path: str) -> bool | None:
        """See `Dialect`."""
        return _FORWARDED.get((method, path))

    def query(self, query: str) -> str | None:
        """See `Dialect`."""
        return query

    def error(self, status: int, message: str, kind: str | None = None) -> Answer:
        """See `Dialect`. A kind is told as type and as code: clients look at either.

        A spent budget is told as a bad request, with the code that the service uses where an account has no
        money left. Codex takes that for the end and shows the words; 402 it asks for six times in 7 s, and at
        429 with that code it shows words of its own, which blame the account.
        """
        if status == SPENT:
            return self.error(400, message, kind or "insufficient_quota")
        usual = "server_error" if status >= 500 else "invalid_request_error"
        of_status, code = _ERRORS.get(status, (usual, None))
        said = {"message": message, "type": kind or of_status, "param": None, "code": kind or code}
        return Answer(status, json.dumps({"error": said}).encode())

    def to_service(self, passed: Headers, service: Service) -> Headers:  # noqa: ARG002 - the same for all
        """See `Dialect`."""
        return [(name, value) for name, value in passed if key(name) not in PAYERS]

    def usage_reader(self, path: str, content_type: str) -> UsageReader:
        """See `Dialect`."""
        if not content_type.lower().startswith("text/event-stream"):
            return BodyUsage()
        return ChatStream() if path == CHAT else ResponsesStream()

    def model(self, path: str, asked: Mapping[str, Any]) -> str:  # noqa: ARG002 - it stands in the body
        """See `Dialect`."""
        return model(asked)

    def most_output(self, asked: Mapping[str, Any]) -> int:
        """See `Dialect`."""
        return most_output(asked)

    def reaches_out(self, asked: Mapping[str, Any]) -> Iterator[Reach]:
        """See `Dialect`. Kinds of tools that the agent's own CLI runs are known by name.

        Any other is refused, so that a new one is closed until it is looked at. So is what the service keeps
        of other requests: it may hold anything, and belongs to whoever made it. What a request leaves with
        the service (`store`) no box can ask for again.
        """
        yield from _settings(asked)
        yield from _tools(asked)
        yield from _parts([asked.get("input"), asked.get("messages"), asked.get("instructions")])


def _settings(asked: Mapping[str, Any]) -> Iterator[Reach]:
    if asked.get("background"):
        yield Reach("background work")
    yield from (Reach(f"what it keeps: {kept}") for kept in KEPT if asked.get(kept))
    if asked.get("web_search_options") is not None:  # an empty object switches it on
        yield Reach("its web search", "web_search")
    if any(word in f"{asked.get('model')}-".lower() for word in SEARCHING):
        yield Reach(f"the web, as the model {str(asked.get('model'))[:60]!r} does", "web_search")
    choice = mapping(asked.get("tool_choice")).get("type", "function")
    if choice not in ("allowed_tools", "shell", *RUN_BY_THE_AGENT):
        yield Reach(f"the tool {str(choice)[:60]!r}", _name(choice))


def _tools(holder: Mapping[str, Any]) -> Iterator[Reach]:
    """Tools that the service runs, of a request or a part of one, and of the namespaces among them."""
    pending = _objects(holder.get("tools"))
    while pending:
        tool = pending.pop()
        kind = tool.get("type", "function")
        if kind == "namespace":
            pending += _objects(tool.get("tools"))
        elif not _is_run_by_the_agent(kind, tool):
            yield Reach(f"the tool {str(kind)[:60]!r}", _name(kind) if _is_bounded(tool) else None)


def _name(kind: object) -> Hosted | None:
    return HOSTED.get(kind) if isinstance(kind, str) else None


def _is_bounded(tool: Mapping[str, Any]) -> bool:
    """Whether what a tool runs is run in a new container without files, skills or network, if in any."""
    holder = _CONTAINERS.get(str(tool.get("type")))
    if holder is None:
        return True
    container = tool.get(holder)
    return (
        isinstance(container, dict)  # a text is the id of one that the service keeps
        and not container.keys() - {"type", "memory_limit", "network_policy"}
        and container.get("type") in ("auto", "container_auto")
        and container.get("network_policy") in (None, {"type": "disabled"})
    )


def _is_run_by_the_agent(kind: object, tool: Mapping[str, Any]) -> bool:
    if kind == "tool_search":
        return tool.get("execution") == "client"
    if kind == "shell":
        return mapping(tool.get("environment")).get("type") == "local"
    return kind in RUN_BY_THE_AGENT


def _parts(pending: list[object]) -> Iterator[Reach]:
    """What the parts of a conversation bring with them from elsewhere, or have the service do."""
    while pending:
        for part in _objects(pending.pop()):
            kind = part.get("type")
            yield from _tools(part)  # `additional_tools`, `tool_search_output`
            if kind in RESUMING:
                yield Reach(f"a {kind} to go on with")
            if _is_reference(kind, part):
                yield Reach("what it keeps: a part of another conversation")
            if part.get("file_id") or part.get("file_ids"):
                yield Reach("an uploaded file")
            if any(name.endswith("_url") and _is_elsewhere(url) for name, url in part.items()):
                yield Reach(f"a {str(kind)[:20]} by its URL", "web_fetch")
            pending.extend(part.get(name) for name in _HOLDING)


def _objects(value: object) -> list[dict[str, Any]]:
    """The objects in a list, where one alone is a list too: some services are that lenient."""
    return [value] if isinstance(value, dict) else objects(value)


def _is_reference(kind: object, part: Mapping[str, Any]) -> bool:
    """Whether a part stands for another by its id alone; the type of one that does may be left out."""
    if kind == "image_generation_call":
        return not part.get("result")
    return kind == "item_reference" or (kind is None and "role" not in part and bool(part.get("id")))


def _is_elsewhere(url: object) -> bool:
    """Whether a URL, or an object that holds one, is anything but data given with the request."""
    plain = url.get("url", url) if isinstance(url, dict) else url
    return bool(plain) and not (isinstance(plain, str) and plain.startswith("data:"))


class BodyUsage(BodyReader):
    """Reads the usage of an answer that is one JSON document, of either API."""

    def take(self, document: dict[str, object]) -> None:
        """See `BodyReader`."""
        self.model = model_name(document.get("model"))
        _note(self, document.get("usage"))


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
        _note(self, response.get("usage"))
        self.final |= self.told and event.get("type") in _LAST


class ChatStream(StreamReader):
    """Reads the usage of a stream of the Chat Completions API.

    It stands in the last chunk, and only if the request said `stream_options: {include_usage: true}`: without
    that, it stays unknown, since what a box asks for is not changed.
    Servers that tell it in every chunk tell the sum so far, so the last one holds.
    """

    telling = b"usage"

    def event(self, event: dict[str, object]) -> None:
        """See `StreamReader`."""
        self.model = model_name(event.get("model")) or self.model
        _note(self, event.get("usage"))
        self.final |= self.told and event.get("choices") == []


def _note(reader: UsageReader, usage: object) -> None:
    """Take over the figures of a usage, where it is one."""
    if isinstance(usage, dict):
        reader.told = True
        reader.tokens = _tokens(usage)


def _tokens(usage: Mapping[str, object]) -> Tokens:
    """The tokens of a usage of either API.

    The service's input includes what was read from and written to its cache, its output the reasoning.
    """
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
