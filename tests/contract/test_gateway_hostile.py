"""What a hostile box may send: nothing but plain allowed requests reaches the service."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest

from runner.gateway import sockets
from runner.gateway.client import Gateway
from runner.gateway.grants import Service
from tests.contract.gateway_service import (
    BOX,
    CANARY,
    OTHER,
    Upstream,
    keys_of,
    raw,
)

H = b"Host: x\r\nx-api-key: k\r\n"
ASK = b"POST /v1/messages HTTP/1.1\r\n" + H
LIST = b"GET /v1/models HTTP/1.1\r\n" + H
HOSTILE = {
    "traversal": b"POST /v1/messages/../files HTTP/1.1\r\n" + H + b"Content-Length: 0\r\n\r\n",
    "encoded dots": b"POST /v1/messages/%2e%2e/files HTTP/1.1\r\n" + H + b"Content-Length: 0\r\n\r\n",
    "encoded letter": b"POST /v1/%6dessages HTTP/1.1\r\n" + H + b"Content-Length: 0\r\n\r\n",
    "double slash": b"POST //v1/messages HTTP/1.1\r\n" + H + b"Content-Length: 0\r\n\r\n",
    "absolute form": b"POST http://evil.example/v1/messages HTTP/1.1\r\n" + H + b"Content-Length: 0\r\n\r\n",
    "fragment": b"POST /v1/messages#/../x HTTP/1.1\r\n" + H + b"Content-Length: 0\r\n\r\n",
    "other route": b"GET /v1/files HTTP/1.1\r\n" + H + b"\r\n",
    "other method": b"DELETE /v1/messages HTTP/1.1\r\n" + H + b"\r\n",
    "connect": b"CONNECT 127.0.0.1:22 HTTP/1.1\r\n" + H + b"\r\n",
    "websocket": LIST + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    "h2c": LIST + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\n",
    "h2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "length and chunked": ASK + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"0\r\n\r\nGET /v1/files HTTP/1.1\r\n\r\n",
    "two lengths": ASK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}x",
    "signed length": ASK + b"Content-Length: +2\r\n\r\n{}",
    "negative length": ASK + b"Content-Length: -2\r\n\r\n{}",
    "huge length": ASK + b"Content-Length: 100000000\r\n\r\n{}",
    "space before colon": ASK + b"Content-Length : 2\r\n\r\n{}",
    "folded header": ASK + b"A: b\r\n c\r\nContent-Length: 2\r\n\r\n{}",
    "40 kB header": ASK + b"A: " + b"b" * 40_000 + b"\r\nContent-Length: 2\r\n\r\n{}",
    "negative chunk": ASK + b"Transfer-Encoding: chunked\r\n\r\n-2\r\n{}\r\n0\r\n\r\n",
    "bad chunk": ASK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
    "unknown coding": ASK + b"Transfer-Encoding: xchunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "header of latin-1": ASK + b"A: \xe4\r\nContent-Length: 2\r\n\r\n{}",
    "noise": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 50 + b"\r\n\r\n",
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_no_hostile_request_reaches_the_service(
    name: str, folder: Path, upstream: Upstream, gateway: Gateway
) -> None:
    got = raw(folder, HOSTILE[name])
    assert re.match(rb"HTTP/1\.[01] (400|403|413|426|501) ", got), got[:200]
    assert upstream.seen == []
    raw(folder, ASK + b"Connection: close\r\nContent-Length: 2\r\n\r\n{}")
    (seen,) = upstream.seen
    assert (seen.path, keys_of(seen)) == ("/prefix/v1/messages", [f"x-api-key: {CANARY}"])
    assert gateway.usage(BOX).in_flight == 0


@pytest.mark.parametrize(
    ("name", "data", "requests"),
    [
        ("pipelined", ASK + b"Content-Length: 2\r\n\r\n{}"
         b"GET /v1/files HTTP/1.1\r\nHost: x\r\n\r\n", 1),
        ("HTTP/1.0", b"POST /v1/messages HTTP/1.0\r\n" + H + b"Content-Length: 2\r\n\r\n{}", 1),
        ("smuggled by a GET", LIST + b"Content-Length: 35\r\n\r\n"
         b"GET /v1/files HTTP/1.1\r\nHost: xy\r\n\r\n", 1),
        ("chunk extension", ASK + b"Transfer-Encoding: chunked\r\n\r\n"
         b"2;a=b\r\n{}\r\n0\r\n\r\n", 1),
        ("waits for 100", ASK + b"Connection: close\r\nExpect: 100-continue\r\n"
         b"Content-Length: 2\r\n\r\n{}", 1),
    ],
)  # fmt: skip
def test_odd_but_lawful_requests_are_forwarded_as_one_plain_request(
    name: str, data: bytes, requests: int, folder: Path, upstream: Upstream
) -> None:
    got = raw(folder, data)
    assert got.startswith((b"HTTP/1.1 200", b"HTTP/1.0 200", b"HTTP/1.1 100")), name
    assert {seen.path for seen in upstream.seen} <= {"/prefix/v1/messages", "/prefix/v1/models"}
    assert len(upstream.seen) == requests
    assert all(keys_of(seen) == [f"x-api-key: {CANARY}"] for seen in upstream.seen)


def test_a_box_that_takes_all_its_connections_harms_only_itself(
    folder: Path, upstream: Upstream, gateway: Gateway
) -> None:
    ask = b"GET /v1/models HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    other = gateway.grant(OTHER, Service(base_url=upstream.url, secret=CANARY))
    idle = [sockets.connect(folder, "gw.sock", 5) for _ in range(64)]
    try:
        time.sleep(0.1)
        refused = raw(folder, ask)
        assert refused.startswith(b"HTTP/1.1 429 ")
        assert b"retry-after: 5" in refused
        assert json.loads(refused.partition(b"\r\n\r\n")[2])["error"]["type"] == "rate_limit_error"
        assert raw(other, ask).startswith(b"HTTP/1.1 200 ")
    finally:
        for made in idle:
            made.close()
    time.sleep(0.2)
    assert raw(folder, ask).startswith(b"HTTP/1.1 200 ")
