"""Reads a request's body in the one way in which nobody can read it otherwise."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any


class UnreadableError(ValueError):
    """The body can't be understood in one way alone, so nobody can say what it asks for."""


MOST_VALUES = 200_000
"""Values in one body: a hundred times what a long session holds, and some 50 MB as Python's objects."""

_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)


def read(body: bytes) -> dict[str, Any]:
    """The JSON object that a request's body is.

    Raises:
        UnreadableError: It is no JSON object, a key stands in it twice, or it holds so many values that they
            would take far more memory than its bytes.
    """
    frame = _STRING.sub(b"", body)
    if sum(frame.count(mark) for mark in (b",", b"[", b"{")) > MOST_VALUES:
        raise UnreadableError(f"the body holds more than {MOST_VALUES} values")
    try:
        asked = json.loads(body.decode("utf-8"), object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise UnreadableError(f"the body is no plain JSON: {error}"[:200]) from error
    if not isinstance(asked, dict):
        raise UnreadableError("the body is no JSON object")
    return asked


MOST_OUTPUT = 128_000
"""Tokens of an answer to a request that sets no bound: what the largest models give at most."""


MOST_ANSWERS = 128
"""Answers that one request may ask for (`n` of the Chat Completions API)."""


def most_output(asked: Mapping[str, Any]) -> int:
    """How many tokens the answer may have at most; `n` asks for several answers at once."""
    bounds = (asked.get(name) for name in ("max_tokens", "max_completion_tokens", "max_output_tokens"))
    one = next((one for one in bounds if isinstance(one, int) and 0 < one <= MOST_OUTPUT), MOST_OUTPUT)
    return one * answers(asked)


def answers(asked: Mapping[str, Any]) -> int:
    """How many answers at once are asked for."""
    settings = asked.get("generationConfig")
    times = asked.get("n") or (settings.get("candidateCount") if isinstance(settings, dict) else None)
    return min(times, MOST_ANSWERS) if isinstance(times, int) and times > 0 else 1


IMAGE = 5_000
"""Tokens of an image, however few bytes it was packed into: an assumption, above what large models count."""

DOCUMENT = 1_000_000
"""Tokens of a packed document: what large models take in at most, since a PDF can be any size unpacked."""

_IMAGES = ("image", "image_url", "input_image")
_DOCUMENTS = ("document", "file", "input_file")
_HINTS = (
    *(f'"{kind}"'.encode() for kind in (*_IMAGES, *_DOCUMENTS, "inlineData", "inline_data")),
    b"\\u00",
)
"""Bytes without which nothing is packed in a body; the last one can spell all others."""

_CONVERSATION = ("system", "messages", "input", "contents", "systemInstruction", "system_instruction")


def most_input(asked: Mapping[str, Any], body: bytes | bytearray) -> int:
    """How many tokens a request with that body may be: one a byte, but for what is packed in it."""
    size = len(body)
    if not any(hint in body for hint in _HINTS):
        return size
    tokens, pending = size, [asked.get(part) for part in _CONVERSATION]
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            tokens += _packed(value)
            pending += [part for part in value.values() if isinstance(part, list | dict)]
        elif isinstance(value, list):
            pending += [part for part in value if isinstance(part, list | dict)]
    return min(tokens, max(size, DOCUMENT))


def _packed(part: Mapping[str, Any]) -> int:
    kind, source = part.get("type"), part.get("source")
    if kind in _IMAGES:
        return IMAGE
    if kind in _DOCUMENTS:
        plain = isinstance(source, dict) and source.get("type") in ("text", "content")
        return 0 if plain else DOCUMENT
    inline = part.get("inlineData") or part.get("inline_data")
    if isinstance(inline, dict):
        media = inline.get("mimeType") or inline.get("mime_type")
        return IMAGE if str(media).startswith("image/") else DOCUMENT
    return 0


def model(asked: Mapping[str, Any]) -> str:
    """The model that is asked; empty where none is named."""
    name = asked.get("model")
    return name[:200] if isinstance(name, str) else ""


def objects(value: object) -> list[dict[str, Any]]:
    """The objects in a list of JSON; none where it is no list."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return made
