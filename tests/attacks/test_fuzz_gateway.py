"""Mutated requests at a real gateway's socket: only what is allowed reaches the service, with one key."""

from __future__ import annotations

import socket
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from runner.gateway import sockets
from runner.gateway.client import Gateway
from tests.attacks.fuzzing import MARGIN, SECONDS, cases, corpus, mutated, told
from tests.contract.gateway_service import (
    BOX,
    CANARY,
    Seen,
    Upstream,
    raw,
)

pytestmark = pytest.mark.timeout(SECONDS + MARGIN)

ALLOWED = {("POST", "/v1/messages"), ("POST", "/v1/messages/count_tokens"), ("GET", "/v1/models")}
PLAIN = b"GET /v1/models HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
KEYS = {"x-api-key", "api-key", "x-goog-api-key", "authorization", "proxy-authorization", "cookie"}
WORDS = [
    b"\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b":", b"\r\n ", b"\r\n\r\n", b"%2e%2e", b"/../", b"//", b"#",
    b"?",
    b"Content-Length: 5\r\n", b"Content-Length: +2\r\n", b"Transfer-Encoding: chunked\r\n", b"0\r\n\r\n",
    b"Transfer-Encoding: identity\r\n", b"X-Api-Key: evil\r\n", b"x_api_key: evil\r\n", b"Cookie: a=b\r\n",
    b"Authorization: Bearer evil\r\n", b"Proxy-Authorization: Basic x\r\n", b"Connection: close\r\n",
    b"Connection: x-api-key\r\n", b"Upgrade: websocket\r\n", b"Expect: 100-continue\r\n", b"Host: evil\r\n",
    b"GET ", b"POST ", b"CONNECT ", b"DELETE /v1/files HTTP/1.1\r\nHost: x\r\n\r\n", b" HTTP/1.1",
    b" HTTP/0.9",    b"ffffffffffffffff\r\n", b"-1\r\n", b"\xff\xfe", b"http://evil.example/", b"/v1/files",
    b"A: " + b"b" * 9000,
]  # fmt: skip


def the_process(folder: Path) -> psutil.Process:
    """The gateway that serves the socket."""
    home = str(folder.parents[1])
    (found,) = [p for p in psutil.process_iter(["cmdline"]) if home in (p.info["cmdline"] or [])]
    return found


def send(folder: Path, data: bytes) -> bytes:
    """Send bytes, wait a moment for an answer, hang up by halves, and return all that came."""
    got = b""
    with sockets.connect(folder, "gw.sock", 10) as made:
        with suppress(BrokenPipeError, ConnectionResetError):
            made.sendall(data)
            made.settimeout(0.03)
            with suppress(TimeoutError):
                got += made.recv(65536)
            made.settimeout(10)
            made.shutdown(socket.SHUT_WR)
        with suppress(ConnectionResetError, OSError):
            while more := made.recv(65536):
                got += more
    return got


def is_lawful(seen: Seen) -> bool:
    """Whether a request that reached the service is one of those that may, with our key and no other."""
    path = seen.path.removeprefix("/prefix").partition("?")[0]
    keys = [(name.lower(), value) for name, value in seen.headers if name.lower().replace("_", "-") in KEYS]
    return (seen.method, path) in ALLOWED and keys == [("x-api-key", CANARY)]


def test_mutated_requests(folder: Path, upstream: Upstream, gateway: Gateway) -> None:
    seeds, reached = corpus("requests.txt"), 0
    process = the_process(folder)
    raw(folder, PLAIN)
    files = process.num_fds()
    for number, random in cases("requests"):
        data = mutated(random, seeds, WORDS)
        upstream.seen.clear()
        with told("requests", number, data):
            got = send(folder, data)
            assert CANARY.encode() not in got
            assert all(is_lawful(seen) for seen in upstream.seen), upstream.seen
            reached += len(upstream.seen)
    assert reached or SECONDS < 1
    assert raw(folder, PLAIN).startswith(b"HTTP/1.1 200 ")
    assert process.is_running()
    assert eventually_no_more_than(process, files)
    assert gateway.usage(BOX).in_flight == 0


def eventually_no_more_than(process: psutil.Process, files: int) -> bool:
    """Whether its open files come back to what they were, within the time that idle connections have."""
    until = time.monotonic() + 20
    while process.num_fds() > files:
        if time.monotonic() > until:
            return False
        time.sleep(0.1)
    return True
