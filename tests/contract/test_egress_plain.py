"""Plain requests of a box out, over its real socket, to hosts that the test plays."""

from __future__ import annotations

import pytest

from tests.contract.world import (
    HOST,
    NAME,
    OK,
    TO,
    World,
    plainly,
    run,
)


def test_a_plain_request_is_made_anew(world: World) -> None:
    async def story() -> None:
        sent = (
            b"GET " + TO + b"/a/../b%2f?x=y&z HTTP/1.1\r\n" + HOST + b"User-Agent: u\r\nCookie: d=e\r\n"
            b"Authorization: Bearer own\r\nProxy-Authorization: Basic x\r\nproxy_connection: close\r\n"
            b"X-Forwarded-For: 1.2.3.4\r\nVia: x\r\nTE: trailers\r\nAccept-Encoding: gzip\r\nX-Hop: f\r\n"
            b"Connection: close, x-hop\r\n\r\n"
        )
        got, (seen,) = await plainly(world, sent, OK)
        assert got.startswith(b"HTTP/1.1 200 OK\r\n")
        assert got.endswith(b"\r\n\r\nok")
        assert b"X-A: b" in got
        assert b"X-Hop" not in got
        head = seen.decode().split("\r\n")
        assert head[0] == "GET /a/../b%2f?x=y&z HTTP/1.1"
        assert sorted(head[1:-2]) == [
            "Accept-Encoding: gzip", "Authorization: Bearer own", "Connection: close", "Cookie: d=e",
            f"Host: {NAME}:PORT", "User-Agent: u",
        ]  # fmt: skip

    run(story())
    (line,) = world.audit
    assert (line["method"], line["allowed"], line["down"], line["why"]) == ("GET", True, 2, "")
    assert line["up"] > 20


@pytest.mark.parametrize(
    ("framing", "body", "arrives"),
    [
        (b"Content-Length: 5\r\n", b"hello", b"Content-Length: 5\r\n"),
        (
            b"Transfer-Encoding: chunked\r\n",
            b"5;a=b\r\nhello\r\n0\r\n\r\n",
            b"Transfer-Encoding: chunked\r\n",
        ),
        (b"Content-Length: 5\r\nExpect: 100-continue\r\n", b"hello", b"Content-Length: 5\r\n"),
    ],
)
def test_bodies_are_framed_anew(world: World, framing: bytes, body: bytes, arrives: bytes) -> None:
    async def story() -> None:
        sent = b"POST " + TO + b"/ HTTP/1.1\r\n" + HOST + framing + b"Connection: close\r\n\r\n" + body
        got, (seen,) = await plainly(world, sent, OK)
        assert got.endswith(b"\r\n\r\nok")
        assert arrives in seen
        assert b"hello" in seen
        assert b"a=b" not in seen
        assert seen.count(b" HTTP/1.1\r\n") == 1

    run(story())


@pytest.mark.parametrize(
    ("answer", "comes"),
    [
        (b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/\r\nContent-Length: 0\r\n\r\n", b"HTTP/1.1 302 "),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nraw", b"\r\n\r\nraw"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", b"ok\r\n0\r\n\r\n"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b"HTTP/1.1 204 "),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\ncut", b"\r\n\r\ncut"),
        (b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", b"HTTP/1.1 502 "),
        (b"HTTP/1.1 200 O\x01K\r\nContent-Length: 2\r\n\r\nok", b"HTTP/1.1 200 \r\n"),
        (b"HTTP/1.1 200 OK\r\nX-A: b\x7f\r\nX-B: c\r\nContent-Length: 2\r\n\r\nok", b"200 OK\r\nX-B: c\r\n"),
        (b"HTTP/1.1 200 OK\r\nX-A: b\rX-B: c\r\nContent-Length: 2\r\n\r\nok", b"HTTP/1.1 502 "),
        (b"HTTP/1.1 200 OK\r\nX-A: b\r\n c\r\nContent-Length: 2\r\n\r\nok", b"X-A: b c\r\n"),
        (b"HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", b"HTTP/1.1 200 OK"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b" 502 "),
        (b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 9000 + b"Content-Length: 2\r\n\r\nok", b"HTTP/1.1 502 "),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", b"HTTP/1.1 502 "),
        (b"nonsense\r\n\r\n", b"HTTP/1.1 502 "),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok", b"HTTP/1.1 502 "),
        (b"", b"HTTP/1.1 502 "),
    ],
)  # fmt: skip
def test_answers_come_back_as_they_are_or_not_at_all(world: World, answer: bytes, comes: bytes) -> None:
    async def story() -> None:
        sent = b"GET " + TO + b"/ HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n"
        got, seen = await plainly(world, sent, answer)
        assert comes in got, got
        assert got.count(b"HTTP/1.1 ") == 1
        assert len(set(seen)) == 1

    run(story())
    assert len(world.audit) == 1


ODD = {
    "another host header": b"GET " + TO + b"/ HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    "two host headers": b"GET " + TO + b"/ HTTP/1.1\r\n" + HOST + b"Host: evil.example\r\n\r\n",
    "no host header": b"GET " + TO + b"/ HTTP/1.0\r\n\r\n",
    "a port less": b"GET " + TO + b"/ HTTP/1.1\r\n" + f"Host: {NAME}\r\n\r\n".encode(),
    "websocket": b"GET " + TO + b"/ HTTP/1.1\r\n" + HOST + b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
    b"\r\n",
    "h2c": b"GET " + TO + b"/ HTTP/1.1\r\n" + HOST + b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
    "trace": b"TRACE " + TO + b"/ HTTP/1.1\r\n" + HOST + b"\r\n",
    "another name": b"GET http://evil.example:PORT/ HTTP/1.1\r\nHost: evil.example:PORT\r\n\r\n",
    "another port": f"GET http://{NAME}/ HTTP/1.1\r\nHost: {NAME}\r\n\r\n".encode(),
    "user": f"GET http://u@{NAME}:PORT/ HTTP/1.1\r\n".encode() + HOST + b"\r\n",
    "https": f"GET https://{NAME}:PORT/ HTTP/1.1\r\n".encode() + HOST + b"\r\n",
    "last dot": f"GET http://{NAME}.:PORT/ HTTP/1.1\r\n".encode() + HOST + b"\r\n",
    "an address": b"GET http://127.0.0.1:PORT/ HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\n\r\n",
    "length and chunks": b"POST " + TO + b"/ HTTP/1.1\r\n" + HOST
    + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /x HTTP/1.1\r\n\r\n",
    "another encoding": b"POST " + TO + b"/ HTTP/1.1\r\n" + HOST
    + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "two lengths": b"POST " + TO + b"/ HTTP/1.1\r\n" + HOST
    + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nabc",
    "folded": b"GET " + TO + b"/ HTTP/1.1\r\n" + HOST + b"A: b\r\n c\r\n\r\n",
    "latin-1": b"GET " + TO + b"/ HTTP/1.1\r\n" + HOST + b"A: \xe4\r\n\r\n",
}  # fmt: skip


@pytest.mark.parametrize("name", ODD)
def test_odd_plain_requests_reach_nobody(world: World, name: str) -> None:
    async def story() -> None:
        got, seen = await plainly(world, ODD[name], OK)
        assert got[:12] in {b"HTTP/1.1 400", b"HTTP/1.1 403", b"HTTP/1.1 405", b"HTTP/1.1 501",
                            b"HTTP/1.0 400"}, got  # fmt: skip
        assert seen == []

    run(story())
    assert not any(line["allowed"] for line in world.audit)


def test_the_host_s_own_proxy_is_not_asked(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)

    async def story() -> None:
        got, (seen,) = await plainly(world, b"GET " + TO + b"/a HTTP/1.1\r\n" + HOST + b"\r\n", OK)
        assert got.endswith(b"\r\n\r\nok")
        assert seen.startswith(b"GET /a HTTP/1.1\r\n")

    run(story())


def test_a_smuggled_second_request_is_a_request_of_its_own(world: World) -> None:
    """A GET with a body that looks like a request → it is passed on as a body, never as a request."""

    async def story() -> None:
        inner = b"GET /secret HTTP/1.1\r\nHost: x\r\n\r\n"
        sent = b"GET " + TO + b"/ HTTP/1.1\r\n" + HOST + f"Content-Length: {len(inner)}\r\n".encode()
        got, (seen,) = await plainly(world, sent + b"Connection: close\r\n\r\n" + inner, OK)
        assert got.endswith(b"ok")
        assert seen.endswith(b"\r\n\r\n" + inner)
        assert f"Content-Length: {len(inner)}".encode() in seen

    run(story())
