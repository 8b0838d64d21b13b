"""What a request can use at most, as far as it can be seen in it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from runner.gateway.dialects import asked

PDF = {"type": "base64", "media_type": "application/pdf", "data": "x"}


def said(*content: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": list(content)}]}


@pytest.mark.parametrize(
    ("request_", "tokens"),
    [
        ({}, 0),
        (said({"type": "text", "text": "hello"}), 0),
        (said({"type": "image", "source": {"type": "base64", "data": "x"}}), asked.IMAGE),
        (
            said({"type": "tool_result", "content": [{"type": "image"}, {"type": "image"}]}),
            2 * asked.IMAGE,
        ),
        (said({"type": "image_url", "image_url": {"url": "data:x"}}), asked.IMAGE),
        ({"input": [{"role": "user", "content": [{"type": "input_image"}]}]}, asked.IMAGE),
        ({"input": [{"type": "input_file", "file_data": "x"}]}, asked.DOCUMENT),
        ({"input": "text"}, 0),
        (said({"type": "document", "source": PDF}), asked.DOCUMENT),
        (said({"type": "tool_result", "content": [{"type": "document", "source": PDF}]}), asked.DOCUMENT),
        (said({"type": "document", "source": {"type": "text", "data": "plain"}}), 0),
        ({"contents": [{"parts": [{"inlineData": {"mimeType": "image/png"}}]}]}, asked.IMAGE),
        ({"contents": [{"parts": [{"inline_data": {"mime_type": "application/pdf"}}]}]}, asked.DOCUMENT),
        (said(*[{"type": "image"}] * 1000), asked.DOCUMENT),
        (said({"type": ["image"]}), 0),
        ({"messages": 5, "input": None, "system": [[[{"type": "image"}]]]}, asked.IMAGE),
    ],
)
def test_how_much_a_request_can_be(request_: dict[str, Any], tokens: int) -> None:
    body = json.dumps(request_).encode()
    assert asked.most_input(request_, body) - len(body) == (
        tokens if tokens < asked.DOCUMENT else tokens - len(body)
    )
    spelt = body.replace(b'"image', b'"\\u0069mage').replace(b'"document', b'"\\u0064ocument')
    assert json.loads(spelt) == request_
    assert asked.most_input(request_, spelt) >= asked.most_input(request_, body)


def test_no_less_than_its_bytes() -> None:
    request_ = said({"type": "document", "source": PDF | {"data": "x" * 3_000_000}})
    body = json.dumps(request_).encode()
    assert asked.most_input(request_, body) == len(body)
