"""The scripted model in OpenAI's two forms, Responses and Chat Completions.

A conversation is told to `script` in its own form, and what it answers is told again in the service's.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

from pydantic import JsonValue

from runner.gateway.playing import script
from runner.gateway.playing.script import JSON_PIECE, TEXT_PIECE, Heard, Json, Reply, UnfitError, cut
from runner.gateway.playing.transcript import Figures, Transcript

MAIN_NAMESPACE = "functions"
"""Codex puts its own tools into this namespace and expects them to be called without it."""


def hear_response(request: Json) -> Heard:
    """The conversation that a request of the Responses API holds.

    Raises:
        UnfitError: The request is malformed.
    """
    heard: list[Json] = []
    for item in _items(request):
        _hear(heard, item)
    return Heard(heard, bool(_offered(request)))


def hear_completion(request: Json) -> Heard:
    """The conversation that a request of the Chat Completions API holds.

    Raises:
        UnfitError: The request is malformed.
    """
    messages = request.get("messages")
    if not isinstance(messages, list):
        raise UnfitError("a request needs `model` and a list of `messages`")
    return Heard([_chat(one) for one in script.objects(messages)], bool(_tools(request.get("tools"))))


def response(transcript: Transcript, request: Json) -> Reply:
    """The answer to a request of the Responses API.

    Raises:
        UnfitError: As `script.answer`, or a tool that takes plain text is given something else.
    """
    heard, offered = hear_response(request).messages, _offered(request)
    reply = _answer(transcript, request, heard, offered)
    digest = str(reply.message["id"]).removeprefix("msg_")
    message: Json = {
        "id": f"resp_{digest}",
        "object": "response",
        "created_at": 0,
        "status": "completed",
        "error": None,
        "incomplete_details": None,
        "model": reply.message["model"],
        "output": [*_output(reply.message, digest, offered)],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": _usage(reply.usage, "input", "output"),
    }
    return replace(reply, message=message)


def response_events(message: Json, _request: Json) -> Iterator[bytes]:
    """A response as the service streams it, one server-sent event at a time."""
    for number, (kind, content) in enumerate(_told(message)):
        event = {"type": kind, "sequence_number": number, **content}
        yield f"event: {kind}\ndata: {json.dumps(event)}\n\n".encode()


def completion(transcript: Transcript, request: Json) -> Reply:
    """The answer to a request of the Chat Completions API.

    Raises:
        UnfitError: As `response`.
    """
    offered = _tools(request.get("tools"))
    reply = _answer(transcript, request, hear_completion(request).messages, offered)
    digest = str(reply.message["id"]).removeprefix("msg_")
    said: Json = {"role": "assistant", "content": _text(reply.message) or None, "refusal": None}
    if calls := [_chat_call(call) for call in _calls(reply.message, digest, offered)]:
        said["tool_calls"] = [*calls]
    message: Json = {
        "id": f"chatcmpl-{digest}",
        "object": "chat.completion",
        "created": 0,
        "model": reply.message["model"],
        "choices": [
            {
                "index": 0,
                "message": said,
                "logprobs": None,
                "finish_reason": "tool_calls" if calls else "stop",
            }
        ],
        "usage": _usage(reply.usage, "prompt", "completion"),
    }
    return replace(reply, message=message)


def completion_events(message: Json, request: Json) -> Iterator[bytes]:
    """A completion as the service streams it; its usage only if that was asked for."""
    asked = _object(request.get("stream_options")).get("include_usage") is True
    head: Json = {**message, "object": "chat.completion.chunk"}
    usage = head.pop("usage")
    if asked:
        head["usage"] = None
    for delta, reason in _deltas(message):
        choice: Json = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        yield _chunk({**head, "choices": [choice]})
    if asked:
        yield _chunk({**head, "choices": [], "usage": usage})
    yield b"data: [DONE]\n\n"


def _items(request: Json) -> list[Json]:
    given = request.get("input")
    items: JsonValue = [{"role": "user", "content": given}] if isinstance(given, str) else given
    if not isinstance(items, list):
        raise UnfitError("a request needs `model` and `input`: a text, or a list of items")
    return script.objects(items)


def _offered(request: Json) -> list[Json]:
    """The tools that a request of the Responses API offers, those among its items included."""
    return [tool for holder in (request, *_items(request)) for tool in _tools(holder.get("tools"))]


def _answer(transcript: Transcript, request: Json, heard: list[Json], offered: list[Json]) -> Reply:
    return script.answer(
        transcript, {"model": request.get("model"), "messages": [*heard], "tools": [*offered]}
    )


def _hear(heard: list[Json], item: Json) -> None:
    """Tell an item of `input` as a message.

    Agents may send a result before the next call of the same answer: such a call joins its answer.
    """
    kind, role, call = str(item.get("type") or "message"), item.get("role"), item.get("call_id")
    if kind == "message":
        place = role if role in ("user", "assistant") else "system"
        heard.append({"role": place, "content": _words(item.get("content"))})
    elif kind.endswith("_output"):
        heard.append(_result(call, item.get("output")))
    elif kind.endswith("_call"):
        made: Json = {"type": "tool_use", "id": call}
        answer = str(call).rpartition("_")[0]
        for before in heard:
            blocks = before.get("content")
            if before["role"] == "assistant" and isinstance(blocks, list) and _is_of(answer, blocks):
                blocks.append(made)
                return
        heard.append({"role": "assistant", "content": [made]})
    elif kind == "reasoning":
        heard.append({"role": "assistant", "content": ""})


def _is_of(answer: str, blocks: list[JsonValue]) -> bool:
    ids = [str(block.get("id")) for block in blocks if isinstance(block, dict)]
    return bool(answer) and any(name.rpartition("_")[0] == answer for name in ids)


def _chat(message: Json) -> Json:
    role, words = message.get("role"), _words(message.get("content"))
    if role == "tool":
        return _result(message.get("tool_call_id"), words)
    if role == "assistant":
        calls = script.objects(message.get("tool_calls"))
        made: list[JsonValue] = [{"type": "tool_use", "id": call.get("id")} for call in calls]
        return {"role": "assistant", "content": [{"type": "text", "text": words}, *made]}
    return {"role": "user" if role == "user" else "system", "content": words}


def _result(call: JsonValue, output: JsonValue) -> Json:
    block: Json = {"type": "tool_result", "tool_use_id": call, "content": _words(output)}
    return {"role": "user", "content": [block]}


def _words(content: JsonValue) -> str:
    """The text of a content or an output, whichever of its forms it has."""
    if isinstance(content, str):
        return content
    texts = [part.get("text") for part in script.objects(content)]
    return "\n".join(text for text in texts if isinstance(text, str))


def _tools(given: JsonValue, namespace: str = "") -> list[Json]:
    """The tools offered: name, whether it takes plain text, and the namespace it must be called in."""
    found: list[Json] = []
    for tool in script.objects(given):
        kind = tool.get("type")
        if kind == "namespace":
            name = str(tool.get("name"))
            found += _tools(tool.get("tools"), "" if name == MAIN_NAMESPACE else name)
            continue
        named = _object(tool.get(str(kind))) or tool  # Chat Completions has the name further inside
        name = str(named.get("name"))
        found.append({"name": name, "plain": kind == "custom", "namespace": namespace})
    return found


def _calls(message: Json, digest: str, offered: list[Json]) -> Iterator[Json]:
    """The tools that an answer asks for, as items of the Responses API."""
    blocks = [block for block in script.objects(message["content"]) if block["type"] == "tool_use"]
    for index, block in enumerate(blocks):
        tool = next((one for one in offered if one["name"] == block["name"]), {})
        call: Json = {"call_id": f"call_{digest}_{index}", "name": block["name"], "status": "completed"}
        if tool.get("namespace"):
            call["namespace"] = tool["namespace"]
        if tool.get("plain"):
            yield {"type": "custom_tool_call", "id": f"ctc_{digest}_{index}", **call, "input": _plain(block)}
        else:
            arguments = json.dumps(block["input"])
            yield {"type": "function_call", "id": f"fc_{digest}_{index}", **call, "arguments": arguments}


def _plain(block: Json) -> str:
    text = _object(block["input"]).get("input")
    if not isinstance(text, str):
        raise UnfitError(f"the tool {block['name']!r} takes plain text: write it as `input: {{input: …}}`")
    return text


def _chat_call(call: Json) -> Json:
    if call["type"] == "custom_tool_call":
        return {
            "id": call["call_id"],
            "type": "custom",
            "custom": {"name": call["name"], "input": call["input"]},
        }
    function: Json = {"name": call["name"], "arguments": call["arguments"]}
    return {"id": call["call_id"], "type": "function", "function": function}


def _text(message: Json) -> str:
    return "".join(
        str(block["text"]) for block in script.objects(message["content"]) if block["type"] == "text"
    )


def _output(message: Json, digest: str, offered: list[Json]) -> Iterator[Json]:
    if text := _text(message):
        yield {
            "type": "message",
            "id": f"msg_{digest}",
            "role": "assistant",
            "status": "completed",
            "content": [_text_part(text)],
        }
    yield from _calls(message, digest, offered)


def _text_part(text: str) -> Json:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _usage(figures: Figures, came: str, went: str) -> Json:
    """The figures as the service tells them: its input includes the cache, its output the reasoning."""
    whole = figures.input + figures.cache_read + figures.cache_write
    cached: Json = {"cached_tokens": figures.cache_read, "cache_write_tokens": figures.cache_write}
    return {
        f"{came}_tokens": whole,
        f"{came}_tokens_details": cached,
        f"{went}_tokens": figures.output,
        f"{went}_tokens_details": {"reasoning_tokens": figures.reasoning},
        "total_tokens": whole + figures.output,
    }


def _told(message: Json) -> Iterator[tuple[str, Json]]:
    begun: Json = {**message, "status": "in_progress", "output": [], "usage": None}
    yield "response.created", {"response": begun}
    yield "response.in_progress", {"response": begun}
    for index, item in enumerate(script.objects(message["output"])):
        yield from _told_item({"output_index": index}, item)
    yield "response.completed", {"response": message}


_HOLDS = {"function_call": "arguments", "custom_tool_call": "input"}
_EVENT = {"function_call": "function_call_arguments", "custom_tool_call": "custom_tool_call_input"}


def _told_item(at: Json, item: Json) -> Iterator[tuple[str, Json]]:
    within, kind = {**at, "item_id": item["id"]}, str(item["type"])
    empty: Json = {"content": []} if kind == "message" else {_HOLDS[kind]: ""}
    yield "response.output_item.added", {**at, "item": {**item, "status": "in_progress", **empty}}
    if kind == "message":
        yield from _told_text({**within, "content_index": 0}, script.objects(item["content"])[0])
    else:
        key, event = _HOLDS[kind], f"response.{_EVENT[kind]}"
        for piece in cut(str(item[key]), JSON_PIECE):
            yield f"{event}.delta", {**within, "delta": piece}
        yield f"{event}.done", {**within, key: item[key], "name": item["name"]}
    yield "response.output_item.done", {**at, "item": item}


def _told_text(at: Json, part: Json) -> Iterator[tuple[str, Json]]:
    yield "response.content_part.added", {**at, "part": {**part, "text": ""}}
    for piece in cut(str(part["text"]), TEXT_PIECE):
        yield "response.output_text.delta", {**at, "delta": piece, "logprobs": []}
    yield "response.output_text.done", {**at, "text": part["text"], "logprobs": []}
    yield "response.content_part.done", {**at, "part": part}


def _deltas(message: Json) -> Iterator[tuple[Json, str | None]]:
    choice = script.objects(message["choices"])[0]
    said = _object(choice["message"])
    yield {"role": "assistant", "content": "", "refusal": None}, None
    for piece in cut(str(said.get("content") or ""), TEXT_PIECE):
        yield {"content": piece}, None
    for index, call in enumerate(script.objects(said.get("tool_calls"))):
        kind = str(call["type"])
        inner = _object(call[kind])
        key = "arguments" if kind == "function" else "input"
        yield {"tool_calls": [{**call, "index": index, kind: {**inner, key: ""}}]}, None
        for piece in cut(str(inner[key]), JSON_PIECE):
            yield {"tool_calls": [{"index": index, kind: {key: piece}}]}, None
    yield {}, str(choice["finish_reason"])


def _object(value: JsonValue) -> Json:
    return value if isinstance(value, dict) else {}


def _chunk(content: Json) -> bytes:
    return f"data: {json.dumps(content)}\n\n".encode()
