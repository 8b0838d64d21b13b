"""What a service does besides answering, asked for by official SDKs: refused, unless the grant names it."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anthropic
import httpx2
import openai
import pytest

from runner.gateway.client import Gateway
from runner.gateway.grants import Script, Service
from tests.contract.gateway_service import BOX, CANARY, OTHER, Upstream, plain, running

MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "m",
    "content": [],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 3, "output_tokens": 4, "server_tool_use": {"web_search_requests": 1}},
}
RESPONSE = {
    "id": "resp_1",
    "object": "response",
    "model": "m",
    "output": [],
    "status": "completed",
    "usage": {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7},
}
ASK: Any = [{"role": "user", "content": "go"}]
BY_URL: Any = {"type": "image", "source": {"type": "url", "url": "https://elsewhere.invalid/a.png"}}
REFUSED = (anthropic.PermissionDeniedError, openai.PermissionDeniedError)

Ask = Callable[[str], object]
"""Ask for what the name means in that API."""


def messages(over: httpx2.Client) -> Ask:
    """Anthropic's."""
    sdk = anthropic.Anthropic(api_key="box", base_url="http://gateway", http_client=over, max_retries=0)
    asked: dict[str, Any] = {
        "web_search": {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
        "web_fetch": {"messages": [{"role": "user", "content": [BY_URL]}]},
        "code_execution": {"tools": [{"type": "code_execution_20250825", "name": "code_execution"}]},
        "a file": {"messages": [{"role": "user", "content": [{"type": "container_upload", "file_id": "f"}]}]},
        "mcp": {"extra_body": {"mcp_servers": [{"type": "url", "url": "https://elsewhere.invalid"}]}},
    }
    return lambda name: sdk.messages.create(**{"model": "m", "max_tokens": 9, "messages": ASK, **asked[name]})


def responses(over: httpx2.Client) -> Ask:
    """OpenAI's."""
    sdk = openai.OpenAI(api_key="box", base_url="http://gateway/v1", http_client=over, max_retries=0)
    file = [{"role": "user", "content": [{"type": "input_file", "file_url": "https://elsewhere.invalid"}]}]
    kept = [{"role": "user", "content": [{"type": "input_file", "file_id": "file-1"}]}]
    asked: dict[str, Any] = {
        "web_search": {"tools": [{"type": "web_search"}]},
        "web_fetch": {"input": file},
        "code_execution": {"tools": [{"type": "code_interpreter", "container": {"type": "auto"}}]},
        "a file": {"input": kept},
        "mcp": {"tools": [{"type": "mcp", "server_label": "x", "server_url": "https://elsewhere.invalid"}]},
    }
    return lambda name: sdk.responses.create(**{"model": "m", "input": "go", **asked[name]})


SERVICES: Any = {
    "messages": (messages, MESSAGE, {"dialect": "anthropic"}),
    "responses": (responses, RESPONSE, {"dialect": "openai", "header": "authorization"}),
}
NAMES: Any = ("web_search", "web_fetch", "code_execution")


@contextmanager
def asking(folder: Path, by: Callable[[httpx2.Client], Ask]) -> Iterator[Ask]:
    """An SDK over a box's socket."""
    with httpx2.Client(transport=httpx2.HTTPTransport(uds=str(folder / "gw.sock"))) as over:
        yield by(over)


@pytest.mark.parametrize("api", SERVICES)
def test_each_name_opens_what_it_means_and_nothing_else(
    api: str, gateway: Gateway, upstream: Upstream
) -> None:
    by, said, how = SERVICES[api]
    service = Service(base_url=upstream.url, secret=CANARY, **how)
    upstream.answer = lambda asked: plain(asked, json.dumps(said).encode())
    for allowed in ((), *[(name,) for name in NAMES], NAMES):
        with asking(gateway.grant(BOX, service, hosted=allowed), by) as ask:
            upstream.seen.clear()
            for name in (*NAMES, "a file", "mcp"):
                if name in allowed:
                    ask(name)
                    continue
                with pytest.raises(REFUSED, match="does not let the service use") as refused:
                    ask(name)
                assert (f"hosted: [{name}]" in str(refused.value)) == (name in NAMES)
            assert len(upstream.seen) == len(allowed)
    gateway.revoke(BOX)


def test_what_is_allowed_holds_for_one_box_and_outlives_the_process(
    tmp_path: Path, upstream: Upstream
) -> None:
    upstream.answer = lambda asked: plain(asked, json.dumps(MESSAGE).encode())
    service = Service(base_url=upstream.url, secret=CANARY)
    with running(tmp_path / "home") as gateway:
        folder = gateway.grant(BOX, service, hosted=("web_search",))
        other = gateway.grant(OTHER, service, hosted=("web_fetch",))
        looked = Gateway.look(tmp_path / "home")
        assert looked is not None
        os.kill(looked[0], signal.SIGKILL)
        gateway.usage(BOX)  # which starts another process, and renews both grants
        with asking(folder, messages) as ask, asking(other, messages) as by_other:
            ask("web_search")
            with pytest.raises(REFUSED):
                by_other("web_search")
            by_other("web_fetch")
        assert len(upstream.seen) == 2
        for box in (BOX, OTHER):
            gateway.revoke(box)


def test_a_script_is_asked_for_no_more_than_a_service(tmp_path: Path, gateway: Gateway) -> None:
    file = tmp_path / "t.yaml"
    file.write_text("turns: [{text: a}]")
    script = Script(transcript=str(file))
    with asking(gateway.grant(OTHER, script), messages) as ask, pytest.raises(REFUSED):
        ask("web_search")
    with asking(gateway.grant(OTHER, script, hosted=("web_search",)), messages) as ask:
        ask("web_search")
    gateway.revoke(OTHER)
