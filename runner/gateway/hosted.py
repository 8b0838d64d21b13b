"""What a request asks the service itself to do besides answering: to search, to fetch, to run code.

Such a request would reach the network on behalf of a box that has none. Kinds of tools that the agent's own
CLI runs are known by name; any other is refused, so that a new one is closed until it is looked at.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

RUN_BY_THE_AGENT = ("custom", "bash_", "text_editor_", "computer_", "memory_", "tool_search_tool_")
"""Types, or how they begin, of tools that reach nothing by themselves. Source: the Messages API's reference,
"Tool use": client tools; `tool_search_tool_…` looks in the request's own list of tools."""

REACHING = ("mcp_servers", "container")
"""Keys of a request that connect it with something besides the model."""


class UnreadableError(ValueError):
    """The body can't be understood in one way alone, so nobody can say what it asks for."""


def reaches_out(body: bytes) -> str | None:
    """What a request's body asks for that is not the model's own answer, or None.

    Raises:
        UnreadableError: It is no JSON object, or a key stands in it twice.
    """
    try:
        asked = json.loads(body.decode("utf-8"), object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise UnreadableError(f"the body is no plain JSON: {error}"[:200]) from error
    if not isinstance(asked, dict):
        raise UnreadableError("the body is no JSON object")
    return next(_reaching(asked), None)


def _reaching(asked: Mapping[str, Any]) -> Iterator[str]:
    yield from (key for key in REACHING if asked.get(key))
    for tool in _dicts(asked.get("tools")):
        kind = tool.get("type") or "custom"
        if not isinstance(kind, str) or not kind.startswith(RUN_BY_THE_AGENT):
            yield f"the tool {str(kind)[:60]!r}"
    yield from _fetched([asked.get("system"), *(m.get("content") for m in _dicts(asked.get("messages")))])


def _fetched(contents: Iterable[object]) -> Iterator[str]:
    """Images and documents that the service would fetch."""
    pending = list(contents)
    while pending:
        for block in _dicts(pending.pop()):
            source = block.get("source")
            if isinstance(source, dict) and "url" in {source.get("type"), *source}:
                yield f"a {str(block.get('type'))[:20]} by its URL"
            pending.extend((block.get("content"), [source] if isinstance(source, dict) else None))


def _dicts(value: object) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return made
