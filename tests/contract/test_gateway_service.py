"""A real gateway process in front of a service that the test plays, down to the bytes on the socket."""

from __future__ import annotations

import gzip
import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from runner.gateway import sockets
from runner.gateway.booking import prices
from runner.gateway.client import Gateway
from runner.gateway.grants import Account, Service, Tokens
from runner.tasks.plan import Budget, Caps
from tests.contract.gateway_service import (
    BOX,
    CANARY,
    USAGE,
    Upstream,
    begin_stream,
    chunk,
    keys_of,
    plain,
    playing,
)

MIB = 1024**2
START = (
    b'event: message_start\ndata: {"type":"message_start","message":{"model":"m-1","usage":'
    b'{"input_tokens":7,"output_tokens":1}}}\n\n'
)
DELTA = b'event: message_delta\ndata: {"type":"message_delta","usage":{"output_tokens":42}}\n\n'


@pytest.fixture
def box(folder: Path) -> Iterator[http.client.HTTPConnection]:
    """A plain HTTP client in the box."""
    made = http.client.HTTPConnection("gateway")
    made.sock = sockets.connect(folder, "gw.sock", 20)
    yield made
    made.close()


def test_the_box_shows_a_placeholder_and_the_service_sees_the_key(
    box: http.client.HTTPConnection, upstream: Upstream, gateway: Gateway
) -> None:
    sent = {
        "X-Api-Key": "placeholder",
        "Authorization": "Bearer placeholder",
        "x_api_key": "twin",
        "Cookie": "a=b",
        "anthropic-beta": "one,  two",
        "Accept-Encoding": "br",
        "User-Agent": "claude-cli/2",
        "Content-Type": "application/json",
    }
    body = b'{"unknown": "field", "spaced" :1.50, "escaped": "\\u00e9\\ud800"} '
    box.request("POST", "/v1/messages?beta=true&x=%2f", body, sent)
    answer = box.getresponse()
    assert (answer.status, answer.read()) == (200, USAGE)
    (seen,) = upstream.seen
    assert (seen.method, seen.path, seen.body) == ("POST", "/prefix/v1/messages?beta=true&x=%2f", body)
    assert keys_of(seen) == [f"x-api-key: {CANARY}"]
    passed = dict(seen.headers)
    assert passed["anthropic-beta"] == "one,  two"
    assert passed["accept-encoding"] == "identity"
    assert (passed["User-Agent"], passed["Content-Type"]) == ("claude-cli/2", "application/json")
    assert set(passed) == {"Host", "Content-Length", "x-api-key", "anthropic-beta", "accept-encoding"} | {
        "User-Agent", "Content-Type",
    }  # fmt: skip
    usage = gateway.usage(BOX)
    assert (usage.requests, usage.input, usage.output, usage.scripted) == (1, 3, 4, False)
    assert list(usage.models) == ["m-1"]


def test_a_new_access_holds_from_the_next_request(
    box: http.client.HTTPConnection, upstream: Upstream, gateway: Gateway
) -> None:
    for key in (CANARY, f"{CANARY}-2"):
        service = Service(base_url=upstream.url, secret=key, header="authorization", oauth=True)
        gateway.grant(BOX, service)
        box.request("POST", "/v1/messages", b"{}")
        box.getresponse().read()
        assert keys_of(upstream.seen[-1]) == [f"authorization: Bearer {key}"]
        assert ("anthropic-beta", "oauth-2025-04-20") in upstream.seen[-1].headers
    assert gateway.usage(BOX).requests == 2


def test_an_access_renewed_in_the_middle_of_a_request_mixes_no_keys(
    folder: Path, upstream: Upstream, gateway: Gateway
) -> None:
    with playing() as other, sockets.connect(folder, "gw.sock", 10) as box:
        box.sendall(b"POST /v1/messages HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{")
        while not gateway.usage(BOX).in_flight:
            time.sleep(0.01)
        gateway.grant(BOX, Service(base_url=other.url, secret=f"{CANARY}-other"))
        box.sendall(b"}")
        assert box.recv(15) == b"HTTP/1.1 200 OK"
        gateway.revoke(BOX)
    assert upstream.seen == []
    assert [keys_of(seen) for seen in other.seen] == [[f"x-api-key: {CANARY}-other"]]


def test_what_is_answered_without_the_service(box: http.client.HTTPConnection, upstream: Upstream) -> None:
    for method, path, status in [
        ("HEAD", "/api/hello", 200),
        ("HEAD", "/v1/messages", 200),
        ("GET", "/", 403),
    ]:
        box.request(method, path)
        answer = box.getresponse()
        answer.read()
        assert answer.status == status
    assert upstream.seen == []


def test_count_tokens_counts_as_a_request_but_no_tokens(
    box: http.client.HTTPConnection, upstream: Upstream, gateway: Gateway
) -> None:
    for method, path in (("POST", "/v1/messages/count_tokens?beta=true"), ("GET", "/v1/models")):
        box.request(method, path, b"{}" if method == "POST" else None)
        assert box.getresponse().read() == USAGE
    assert [seen.path for seen in upstream.seen] == [
        "/prefix/v1/messages/count_tokens?beta=true",
        "/prefix/v1/models",
    ]
    usage = gateway.usage(BOX)
    assert (usage.requests, usage.input) == (2, 0)


def test_events_pass_at_once_and_count_while_they_run(
    box: http.client.HTTPConnection, upstream: Upstream, gateway: Gateway
) -> None:
    go_on = threading.Event()

    def answer(asked: BaseHTTPRequestHandler) -> None:
        begin_stream(asked)
        chunk(asked, START)
        assert go_on.wait(10)
        chunk(asked, DELTA)
        chunk(asked, b"")

    upstream.answer = answer
    box.request("POST", "/v1/messages", b"{}")
    stream = box.getresponse()
    assert stream.read1() == START
    live = gateway.usage(BOX)
    assert (live.in_flight, live.input, live.output) == (1, 7, 1)
    go_on.set()
    assert stream.read() == DELTA
    last = gateway.usage(BOX)
    assert (last.in_flight, last.input, last.output) == (0, 7, 42)


def test_a_cut_stream_stays_cut_and_is_counted(
    box: http.client.HTTPConnection, upstream: Upstream, gateway: Gateway
) -> None:
    def answer(asked: BaseHTTPRequestHandler) -> None:
        begin_stream(asked)
        chunk(asked, START + DELTA[:-1])
        asked.close_connection = True

    upstream.answer = answer
    box.request("POST", "/v1/messages", b"{}")
    with pytest.raises(http.client.IncompleteRead):
        box.getresponse().read()
    usage = gateway.usage(BOX)
    assert (usage.input, usage.output, usage.in_flight) == (7, 42, 0)


def test_when_the_box_hangs_up_the_service_is_hung_up_on(
    box: http.client.HTTPConnection, upstream: Upstream, gateway: Gateway
) -> None:
    hung_up = threading.Event()

    def answer(asked: BaseHTTPRequestHandler) -> None:
        begin_stream(asked)
        chunk(asked, START)
        asked.connection.settimeout(10)
        if asked.connection.recv(1) == b"":
            hung_up.set()
        asked.close_connection = True

    upstream.answer = answer
    box.request("POST", "/v1/messages", b"{}")
    stream = box.getresponse()
    assert stream.read1() == START
    stream.close()
    box.close()
    assert hung_up.wait(5)
    usage = gateway.usage(BOX)
    assert (usage.in_flight, usage.input) == (0, 7)


@pytest.mark.parametrize("size", [31 * MIB, 33 * MIB])
@pytest.mark.parametrize("chunked", [False, True])
def test_bodies_up_to_the_services_own_limit(
    box: http.client.HTTPConnection, upstream: Upstream, size: int, chunked: bool
) -> None:
    body = b'{"x": "' + b"x" * (size - 9) + b'"}'
    sent: Any = iter([body[start : start + MIB] for start in range(0, size, MIB)]) if chunked else body
    try:
        box.request(
            "POST",
            "/v1/messages",
            sent,
            encode_chunked=chunked,
            headers={"Transfer-Encoding": "chunked"} if chunked else {},
        )
    except (BrokenPipeError, ConnectionResetError):
        assert size > 32 * MIB
    answer = box.getresponse()
    said = answer.read()
    if size < 32 * MIB:
        assert (answer.status, upstream.seen[0].body == body) == (200, True)
    else:
        assert (answer.status, json.loads(said)["error"]["type"]) == (413, "request_too_large")
        assert upstream.seen == []


def test_a_reply_never_shows_the_key(box: http.client.HTTPConnection, upstream: Upstream) -> None:
    def in_pieces(asked: BaseHTTPRequestHandler) -> None:
        begin_stream(asked)
        for letter in f"data: {CANARY}\n\n":
            chunk(asked, letter.encode())
        chunk(asked, b"")

    def zipped(asked: BaseHTTPRequestHandler) -> None:
        plain(asked, gzip.compress(f"<{CANARY}>".encode()), Content_Encoding="gzip")

    def in_head(asked: BaseHTTPRequestHandler) -> None:
        asked.send_response_only(400, CANARY)
        asked.send_header("X-Echo", f"Bearer {CANARY}")
        asked.send_header(f"X-{CANARY}", "1")
        asked.send_header("Content-Length", "0")
        asked.end_headers()

    for echo in (in_pieces, zipped, in_head):
        upstream.answer = echo
        box.request("POST", "/v1/messages", b"{}")
        answer = box.getresponse()
        got = f"{answer.reason} {answer.getheaders()} {answer.read().decode()}"
        assert CANARY not in got
        assert "*" * len(CANARY) in got


@pytest.mark.parametrize(
    ("status", "headers", "says"),
    [
        (302, {"Location": "http://127.0.0.1:1/elsewhere"}, "redirect"),
        (200, {"Content_Encoding": "zz"}, "encoding"),
    ],
)
def test_answers_that_are_not_passed_on(
    box: http.client.HTTPConnection, upstream: Upstream, status: int, headers: dict[str, str], says: str
) -> None:
    upstream.answer = lambda asked: plain(asked, b"{}", status, **headers)
    box.request("POST", "/v1/messages", b"{}")
    answer = box.getresponse()
    said = json.loads(answer.read())
    assert (answer.status, said["type"], said["error"]["type"]) == (502, "error", "api_error")
    assert says in said["error"]["message"]
    assert answer.getheader("location") is None
    assert len(upstream.seen) == 1


def test_errors_that_no_waiting_mends_pass_as_they_are(
    box: http.client.HTTPConnection, upstream: Upstream, gateway: Gateway
) -> None:
    upstream.answer = lambda asked: plain(
        asked, b'{"type":"error"}', 413, retry_after="7", x_should_retry="false"
    )
    box.request("POST", "/v1/messages", b"{}")
    answer = box.getresponse()
    assert (answer.status, answer.read(), answer.getheader("retry-after")) == (413, b'{"type":"error"}', "7")
    assert answer.getheader("x-should-retry") is None
    assert gateway.usage(BOX).last_status == 413


def test_a_service_that_is_not_there_is_waited_for(
    box: http.client.HTTPConnection, upstream: Upstream, gateway: Gateway
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    gateway.grant(BOX, Service(base_url=f"http://127.0.0.1:{port}", secret=CANARY))
    box.request("POST", "/v1/messages", b"{}")
    while (held := gateway.usage(BOX).held) is None or held.kind != "unreachable":
        time.sleep(0.01)
    assert f"127.0.0.1:{port}" in held.why
    gateway.grant(
        BOX, Service(base_url=upstream.url, secret=CANARY)
    )  # what is waited for is what is granted now
    answer = box.getresponse()
    assert (answer.status, answer.read()) == (200, USAGE)
    usage = gateway.usage(BOX)
    assert (usage.last_status, usage.in_flight, usage.held, usage.limited) == (200, 0, None, "")
    assert usage.requests > 1
    assert usage.held_s > 0


def test_a_model_without_a_price_is_not_asked_while_dollars_are_capped(
    box: http.client.HTTPConnection, upstream: Upstream, gateway: Gateway
) -> None:
    """Names that a box makes up, some of them much like known ones → told what to do, and never sent."""
    account = Account(run="priced", attempt="t/p/1", budget=Budget(run=Caps(usd=5)))
    services = (
        Service(base_url=upstream.url, secret=CANARY),
        Service(dialect="openai", base_url=upstream.url, secret=CANARY, header="authorization"),
    )
    gateway.grant(BOX, *services, account=account)
    for path in ("/v1/messages", "/v1/responses", "/v1/chat/completions"):
        for name in ('"nobody-1"', '"claude-3-haiku-but-really-opus"', '""', "7", '["claude-opus-5-5"]'):
            box.request("POST", path, b'{"max_tokens": 5, "model": ' + name.encode() + b"}")
            answer = box.getresponse()
            said = json.loads(answer.read())["error"]["message"]
            assert answer.status in (400, 402)
            assert "budget in dollars" in said
            assert "price is known" in said
    assert upstream.seen == []
    box.request("POST", "/v1/messages", b'{"max_tokens": 5, "model": "claude-opus-5-5"}')
    assert box.getresponse().read() == USAGE
    usage = gateway.usage(BOX)
    most = prices.usd("anthropic", "claude-opus-5-5", Tokens(input=45, output=5))
    assert most is not None
    assert (usage.requests, usage.unpriced) == (1, 0)
    assert usage.usd >= most, "an answer of a model without a price costs the most that it could have"
