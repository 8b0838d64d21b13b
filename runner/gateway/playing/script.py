"""The scripted model: which turn of a transcript answers a conversation, in the form of the Messages API.

The turn follows from the conversation alone, so retries and agents side by side need no state.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from pydantic import JsonValue

from runner.gateway.playing.transcript import Figures, ScriptedError, ToolCall, Transcript, Turn

AFTER_THE_END = "The script ends here."
WITHOUT_TOOLS = "A scripted reply."
"""What a side request, such as one for a title, is answered with: it offers no tools."""

SYNTHETIC = "No response requested."
"""What Claude Code puts in the assistant's mouth when it resumes a session; not a turn."""

TEXT_PIECE = 48
JSON_PIECE = 64

Json = dict[str, JsonValue]


class UnfitError(ValueError):
    """The request is not one that the scripted model can answer; the message says why."""


@dataclass(frozen=True)
class Heard:
    """A conversation in the form of the Messages API, in whatever form it was told, as far as needed."""

    messages: list[Json]
    offers_tools: bool
    """What offers none is no conversation but a side request, such as one for a title."""

    @property
    def turn(self) -> int:
        """How many answers of the model it holds."""
        return turn_number(self.messages)


@dataclass(frozen=True)
class Reply:
    """One answer: a message, or an error in its place. `delay` and `pause` are seconds."""

    message: Json
    usage: Figures
    error: ScriptedError | None = None
    delay: float = 0.0
    pause: float = 0.0


def hear(request: Json) -> Heard:
    """The conversation that a Messages request holds.

    Raises:
        UnfitError: The request is malformed.
    """
    return Heard(_messages(request), bool(request.get("tools")))


def answer(transcript: Transcript, request: Json) -> Reply:
    """The answer to a Messages request.

    Raises:
        UnfitError: The request is malformed, or does not fit what the turn expects.
    """
    heard = hear(request)
    messages, number = heard.messages, heard.turn
    if not heard.offers_tools:
        return _reply(request, Turn(text=WITHOUT_TOOLS), messages)
    if number >= len(transcript.turns):
        return _reply(request, Turn(text=AFTER_THE_END), messages)
    turn = transcript.turns[number]
    said = last_said(messages)
    if turn.expect is not None and re.search(turn.expect, said) is None:
        raise UnfitError(
            f"turn {number + 1} of the transcript does not fit: it expects {turn.expect!r}, "
            f"and the agent sent {said[:500]!r}"
        )
    return _reply(request, turn, messages)


def turn_number(messages: list[Json]) -> int:
    """How many turns the model has had: runs of assistant messages, wherever system messages stand."""
    roles = [message.get("role") for message in messages if not _is_aside(message)]
    return sum(
        1 for before, role in zip([None, *roles], roles, strict=False) if role == "assistant" != before
    )


def last_said(messages: list[Json]) -> str:
    """What the agent sent after the model's last turn: its tool results, or its words if there are none.

    The results stand in the order in which the tools were asked for: an agent that runs tools side
    by side sends them in the order in which they ended, which is another one each time.
    """
    asked: list[JsonValue] = []
    last: list[Json] = []
    for message in messages:
        blocks = _blocks(message.get("content"))
        if message.get("role") == "assistant":
            asked += [block.get("id") for block in blocks if block.get("type") == "tool_use"]
            last = []
        elif message.get("role") == "user":
            last += blocks
    results = [block for block in last if block.get("type") == "tool_result"]
    ranks = {name: rank for rank, name in enumerate(asked) if isinstance(name, str)}
    results.sort(key=lambda block: ranks.get(str(block.get("tool_use_id")), len(ranks)))
    return "\n".join(_text(result.get("content")) for result in results) if results else _text([*last])


def events(message: Json) -> Iterator[bytes]:
    """The message as the service streams it, one server-sent event at a time."""
    content = _blocks(message["content"])
    usage = message["usage"]
    started = {**(usage if isinstance(usage, dict) else {}), "output_tokens": 0}
    opening = {**message, "content": [], "stop_reason": None, "usage": started}
    yield _event("message_start", {"message": opening})
    for index, block in enumerate(content):
        empty = {**block, "text": ""} if block["type"] == "text" else {**block, "input": {}}
        yield _event("content_block_start", {"index": index, "content_block": empty})
        for delta in _deltas(block):
            yield _event("content_block_delta", {"index": index, "delta": delta})
        yield _event("content_block_stop", {"index": index})
    ending = {"stop_reason": message["stop_reason"], "stop_sequence": None}
    yield _event("message_delta", {"delta": ending, "usage": usage})
    yield _event("message_stop", {})


def estimate_tokens(body: bytes) -> int:
    """A rough count for count_tokens: four bytes a token."""
    return len(body) // 4


def objects(value: JsonValue) -> list[Json]:
    """The objects in a list of JSON; none where it is no list."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _messages(request: Json) -> list[Json]:
    messages = request.get("messages")
    if not isinstance(messages, list) or not isinstance(request.get("model"), str):
        raise UnfitError("a request needs `model` and a list of `messages`")
    return [message for message in messages if isinstance(message, dict)]


def _reply(request: Json, turn: Turn, messages: list[Json]) -> Reply:
    digest = hashlib.sha256(json.dumps(messages, sort_keys=True).encode()).hexdigest()
    content: list[JsonValue] = [{"type": "text", "text": turn.text}] if turn.text else []
    content += [_tool_use(digest, index, call) for index, call in enumerate(turn.tools)]
    message: Json = {
        "id": f"msg_{digest[:24]}",
        "type": "message",
        "role": "assistant",
        "model": request["model"],
        "content": content,
        "stop_reason": "tool_use" if turn.tools else "end_turn",
        "stop_sequence": None,
        "usage": _usage(turn.usage),
    }
    return Reply(message, turn.usage, turn.error, turn.delay, turn.pause)


def _tool_use(digest: str, index: int, call: ToolCall) -> Json:
    name = hashlib.sha256(f"{digest}/{index}".encode()).hexdigest()[:24]
    return {"type": "tool_use", "id": f"toolu_{name}", "name": call.name, "input": call.input}


def _usage(figures: Figures) -> Json:
    return {
        "input_tokens": figures.input,
        "cache_creation_input_tokens": figures.cache_write,
        "cache_read_input_tokens": figures.cache_read,
        "output_tokens": figures.output,
    }


def _is_aside(message: Json) -> bool:
    if message.get("role") == "system":
        return True
    blocks = _blocks(message.get("content"))
    return message.get("role") == "assistant" and _text([*blocks]).strip() == SYNTHETIC


def said_by(message: Json) -> str:
    """The words of a message."""
    return _text([*_blocks(message.get("content"))])


def _blocks(content: JsonValue) -> list[Json]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return objects(content)


def _text(content: JsonValue) -> str:
    blocks = _blocks(content)
    return "\n".join(str(block.get("text", "")) for block in blocks if block.get("type") == "text")


def _deltas(block: Json) -> Iterator[Json]:
    if block["type"] == "text":
        for piece in cut(str(block["text"]), TEXT_PIECE):
            yield {"type": "text_delta", "text": piece}
    else:
        for piece in cut(json.dumps(block["input"]), JSON_PIECE):
            yield {"type": "input_json_delta", "partial_json": piece}


def cut(text: str, size: int) -> list[str]:
    """A text in pieces of that many letters, as a stream tells it."""
    return [text[start : start + size] for start in range(0, len(text), size)]


def _event(kind: str, content: Json) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **content})}\n\n".encode()
