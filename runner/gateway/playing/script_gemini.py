"""The scripted model in Gemini's form.

A conversation is told to `script` in its own form, and what it answers is told again in the service's.
A request says its model and whether it is streamed in its path; here that stands in `model` and `stream`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

from pydantic import JsonValue

from runner.gateway.playing import script
from runner.gateway.playing.script import TEXT_PIECE, Heard, Json, Reply, UnfitError, cut
from runner.gateway.playing.transcript import Figures, Transcript


def hear(request: Json) -> Heard:
    """The conversation that a request of the Gemini API holds.

    Raises:
        UnfitError: The request is malformed.
    """
    contents = request.get("contents")
    if not isinstance(contents, list):
        raise UnfitError("a request needs a list of `contents`")
    return Heard([*_messages(contents)], bool(_offered(request)))


def answer(transcript: Transcript, request: Json) -> Reply:
    """The answer to a request of the Gemini API.

    Raises:
        UnfitError: As `script.answer`.
    """
    messages = hear(request).messages
    asked: Json = {"model": request.get("model"), "messages": [*messages], "tools": _offered(request)}
    reply = script.answer(transcript, asked)
    parts = [_part(block) for block in script.objects(reply.message["content"])]
    message: Json = {
        "candidates": [
            {"content": {"role": "model", "parts": [*parts]}, "finishReason": "STOP", "index": 0},
        ],
        "usageMetadata": _usage(reply.usage),
        "modelVersion": request.get("model"),
        "responseId": reply.message["id"],
    }
    return replace(reply, message=message)


def events(message: Json, request: Json) -> Iterator[bytes]:
    """An answer as the service streams it: as server-sent events, or as one array where that is asked for."""
    whole = [json.dumps(chunk).encode() for chunk in _chunks(message)]
    if request.get("stream") != "array":
        yield from (b"data: " + chunk + b"\r\n\r\n" for chunk in whole)
        return
    for index, chunk in enumerate(whole):
        yield (b",\r\n" if index else b"[") + chunk
    yield b"\n]"


def _offered(request: Json) -> list[JsonValue]:
    """The tools that are offered, by name."""
    return [
        {"name": function.get("name")}
        for tool in script.objects(request.get("tools"))
        for function in script.objects(tool.get("functionDeclarations"))
    ]


def _messages(contents: list[JsonValue]) -> Iterator[Json]:
    """A conversation as messages. A result belongs to the call of its id, else to the first of its name."""
    calls: list[tuple[str, JsonValue]] = []
    for number, content in enumerate(script.objects(contents)):
        said: list[JsonValue] = []
        for index, part in enumerate(script.objects(content.get("parts"))):
            call, result = part.get("functionCall"), part.get("functionResponse")
            if isinstance(call, dict):
                name = str(call.get("id") or f"{number}/{index}")
                calls.append((name, call.get("name")))
                said.append({"type": "tool_use", "id": name})
            elif isinstance(result, dict):
                said.append(_result(result, calls))
            elif isinstance(part.get("text"), str) and not part.get("thought"):
                said.append({"type": "text", "text": part["text"]})
        yield {"role": "assistant" if content.get("role") == "model" else "user", "content": said}


def _result(result: Json, calls: list[tuple[str, JsonValue]]) -> Json:
    ids = [name for name, _ in calls]
    named = [name for name, function in calls if function == result.get("name")]
    name = str(result.get("id")) if result.get("id") in ids else (named or [""])[0]
    calls[:] = [call for call in calls if call[0] != name]
    return {"type": "tool_result", "tool_use_id": name, "content": _words(result.get("response"))}


def _words(response: JsonValue) -> str:
    """What a function gave back: the text under the usual key, or all of it."""
    output = response.get("output", response.get("error")) if isinstance(response, dict) else None
    return output if isinstance(output, str) else json.dumps(response)


def _part(block: Json) -> Json:
    if block["type"] == "text":
        return {"text": block["text"]}
    return {"functionCall": {"id": block["id"], "name": block["name"], "args": block["input"]}}


def _usage(figures: Figures) -> Json:
    """The figures as the service tells them: its prompt includes the cache, what it says not what it thought.

    It knows of no writing to the cache: what a transcript says of that is a part of the prompt.
    """
    whole = figures.input + figures.cache_read + figures.cache_write
    return {
        "promptTokenCount": whole,
        "cachedContentTokenCount": figures.cache_read,
        "candidatesTokenCount": max(0, figures.output - figures.reasoning),
        "thoughtsTokenCount": figures.reasoning,
        "totalTokenCount": whole + max(figures.output, figures.reasoning),
    }


def _chunks(message: Json) -> Iterator[Json]:
    """The answer in parts: texts in pieces, calls whole; the usage is told in full by the last one alone."""
    candidate = script.objects(message["candidates"])[0]
    usage, content = message["usageMetadata"], candidate["content"]
    prompt = {"promptTokenCount": usage["promptTokenCount"]} if isinstance(usage, dict) else {}
    parts = script.objects(content["parts"]) if isinstance(content, dict) else []
    pieces: list[Json] = []
    for part in parts:
        text = part.get("text")
        pieces += [{"text": piece} for piece in cut(text, TEXT_PIECE)] if isinstance(text, str) else [part]
    for piece in pieces[:-1]:
        said: Json = {"content": {"role": "model", "parts": [piece]}, "index": 0}
        yield {**message, "candidates": [said], "usageMetadata": {**prompt}}
    yield {**message, "candidates": [{**candidate, "content": {"role": "model", "parts": [*pieces[-1:]]}}]}
