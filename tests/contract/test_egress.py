"""The way out over a box's real socket, with a world that the test plays."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import stat
from asyncio import StreamReader, StreamWriter
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from runner.gateway import audit, egress, flow, tunnel
from runner.gateway.grants import Service
from runner.gateway.outside import dial, is_own, look_up, refusal
from tests.contract.world import (
    BOX,
    OTHER_PUBLIC,
    PUBLIC,
    Box,
    World,
    believing,
    boxed,
    echo,
    listening,
    proof_of,
)

NAME = "docs.example.org"
HTTP = f"Host: {NAME}\r\nConnection: close\r\n\r\n".encode()


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A world in which one name is known."""
    return World(tmp_path, {NAME: [[PUBLIC]]})


def run(story: Coroutine[Any, Any, None]) -> None:
    """Let a story happen, and see that it leaves no task behind."""

    async def whole() -> None:
        await story
        async with asyncio.timeout(10):
            while len(asyncio.all_tasks()) > 1:
                await asyncio.sleep(0.01)

    asyncio.run(whole())


async def over_tls(box: Box, named: str, said: bytes, asked: str = NAME) -> bytes:
    """Ask for a tunnel to a host, speak TLS for a name in it, and say something that comes back."""
    reader, writer = await box.tunnel(f"{asked}:443")
    try:
        await asyncio.wait_for(writer.start_tls(believing(), server_hostname=named), 20)
        writer.write(said)
        return await asyncio.wait_for(reader.readexactly(len(said)), 20)
    finally:
        writer.close()


def first_words(name: str | None) -> bytes:
    """What a TLS client begins with."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    outgoing = ssl.MemoryBIO()
    client = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


# -- tunnels


def test_tls_goes_through_as_it_is(world: World) -> None:
    said = os.urandom(3_000_000)

    async def story() -> None:
        async with listening(echo, proof_of(NAME)) as port, boxed(world, NAME) as box:
            world.places[PUBLIC, 443] = port
            assert await over_tls(box, NAME, said) == said
            await box.until(lambda: len(world.audit) == 1)
            assert box.usage.egress.allowed == 1
            assert box.usage.egress.up > len(said)
            assert box.usage.last_activity is not None
            assert box.usage.in_flight == 0

    run(story())
    (line,) = world.audit
    assert (line["method"], line["host"], line["port"]) == ("CONNECT", NAME, 443)
    assert (line["address"], line["allowed"], line["why"], line["box"]) == (PUBLIC, True, "", BOX)
    assert min(line["up"], line["down"]) > len(said)
    assert world.dialled == [(PUBLIC, 443)]


def test_the_first_bytes_are_not_lost_wherever_they_are_cut(world: World) -> None:
    """Bytes that come with the request, before there is a tunnel, and after it → all arrive, in order."""
    said = os.urandom(300_000)

    async def story() -> None:
        async with listening(echo) as port, boxed(world, f"{NAME}:2222") as box:
            world.places[PUBLIC, 2222] = port
            for with_it in (0, 1, 100, 70_000, len(said)):
                reader, writer = await box.tunnel(f"{NAME}:2222", said[:with_it])
                writer.write(said[with_it:])
                assert await asyncio.wait_for(reader.readexactly(len(said)), 20) == said
                writer.close()

    run(story())


def test_a_tunnel_may_follow_a_request_on_the_same_connection(world: World) -> None:
    async def story() -> None:
        async with listening(echo) as port, boxed(world, f"{NAME}:2222") as box:
            world.places[PUBLIC, 2222] = port
            reader, writer = await box.connect()
            bad = f"GET http://{NAME}:2222/ HTTP/1.1\r\nHost: other.example\r\n\r\n".encode()
            good = f"CONNECT {NAME}:2222 HTTP/1.1\r\nHost: x\r\n\r\nhello".encode()
            writer.write(bad + good)
            assert (await asyncio.wait_for(reader.read(), 20)).count(b"HTTP/1.1 ") == 1  # a refusal ends it
            writer.close()
            reader, writer = await box.tunnel(f"{NAME}:2222", b"hello")
            assert await asyncio.wait_for(reader.readexactly(5), 20) == b"hello"
            writer.close()

    run(story())


def test_a_server_may_speak_first_where_it_is_not_tls(world: World) -> None:
    async def greet(_: StreamReader, writer: StreamWriter) -> None:
        writer.write(b"SSH-2.0-x\r\n")
        writer.close()

    async def story() -> None:
        async with listening(greet) as port, boxed(world, f"{NAME}:2222") as box:
            world.places[PUBLIC, 2222] = port
            reader, writer = await box.tunnel(f"{NAME}:2222")
            assert await asyncio.wait_for(reader.read(), 20) == b"SSH-2.0-x\r\n"
            writer.close()

    run(story())


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (first_words("evil.example"), "for another host: evil.example"),
        (first_words(f"{NAME}.evil.example"), "for another host"),
        (first_words(None), "names no server"),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "does not begin a TLS handshake"),
        (b"SSH-2.0-x\r\n", "does not begin a TLS handshake"),
        (first_words(NAME)[:-1], "no whole ClientHello in"),
        (b"", "no whole ClientHello in"),
    ],
)
def test_what_is_no_tls_for_the_host_gets_nowhere(
    world: World, monkeypatch: pytest.MonkeyPatch, said: bytes, why: str
) -> None:
    monkeypatch.setattr(tunnel, "HELLO_SECONDS", 0.2)
    got: list[bytes] = []

    async def record(reader: StreamReader, writer: StreamWriter) -> None:
        got.append(await reader.read())
        writer.close()

    async def story() -> None:
        async with listening(record) as port, boxed(world, NAME) as box:
            world.places[PUBLIC, 443] = port
            reader, writer = await box.tunnel(f"{NAME}:443", said)
            assert await asyncio.wait_for(reader.read(), 20) == b""
            writer.close()
            await box.until(lambda: got == [b""])
            assert (box.usage.egress.allowed, box.usage.egress.refused) == (0, 1)

    run(story())
    (line,) = world.audit
    assert (line["allowed"], line["up"], line["down"]) == (False, 0, 0)
    assert why in line["why"]


def test_when_one_side_is_gone_so_is_the_other(world: World) -> None:
    gone: list[str] = []

    async def hold(reader: StreamReader, writer: StreamWriter) -> None:
        first = await reader.readexactly(1)
        if first == b"e":
            writer.close()
            return
        with suppress(OSError):
            await reader.read()
        gone.append("the host saw it")
        writer.close()

    async def story() -> None:
        async with listening(hold) as port, boxed(world, f"{NAME}:2222") as box:
            world.places[PUBLIC, 2222] = port
            reader, writer = await box.tunnel(f"{NAME}:2222", b"e")
            assert await asyncio.wait_for(reader.read(), 20) == b""
            writer.close()
            _, writer = await box.tunnel(f"{NAME}:2222", b"x")
            writer.close()
            await box.until(lambda: bool(gone))
            await box.until(lambda: len(world.audit) == 2)

    run(story())


def test_revoking_closes_tunnels_at_once(world: World) -> None:
    gone: list[str] = []

    async def chatter(_: StreamReader, writer: StreamWriter) -> None:
        try:
            while True:
                writer.write(b"x" * 1000)
                await writer.drain()
                await asyncio.sleep(0.001)
        except OSError:
            gone.append("hung up on")
        finally:
            writer.close()

    async def story() -> None:
        async with listening(chatter) as port, boxed(world, f"{NAME}:2222") as box:
            world.places[PUBLIC, 2222] = port
            tunnels = [await box.tunnel(f"{NAME}:2222") for _ in range(5)]
            for reader, _ in tunnels:
                await asyncio.wait_for(reader.readexactly(1000), 20)
            usage = await box.grants.close(BOX)
            assert usage is not None
            assert usage.egress.allowed == 5
            assert len(world.audit) == 5
            assert sum(line["down"] for line in world.audit) == usage.egress.down
            await box.until(lambda: len(gone) == 5)
            for _, writer in tunnels:
                writer.close()

    run(story())


# -- plain requests


async def answer_once(reader: StreamReader, writer: StreamWriter, answer: bytes, seen: list[bytes]) -> None:
    """Note a request, as far as its head says that it goes, and answer it."""
    head = await reader.readuntil(b"\r\n\r\n")
    if b"Transfer-Encoding: chunked" in head:
        head += await reader.readuntil(b"0\r\n\r\n")
    elif b"Content-Length: " in head:
        size = int(head.split(b"Content-Length: ")[1].split(b"\r\n")[0])
        head += await reader.readexactly(size)
    seen.append(head)
    writer.write(answer)
    writer.close()


async def plainly(world: World, data: bytes, answer: bytes) -> tuple[bytes, list[bytes]]:
    """Send a request with `PORT` in it for the server's port; what came back, and what the server saw."""
    seen: list[bytes] = []
    world.names = {NAME: [["127.0.0.1"]]}
    world.open_to = {"127.0.0.1"}

    async def serve(reader: StreamReader, writer: StreamWriter) -> None:
        await answer_once(reader, writer, answer, seen)

    async with listening(serve) as port, boxed(world, f"{NAME}:{port}") as box:
        got = await box.say(data.replace(b"PORT", str(port).encode()))
        return got, [each.replace(str(port).encode(), b"PORT") for each in seen]


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-A: b\r\nConnection: close, x-hop\r\nX-Hop: c\r\n\r\nok"
TO = f"http://{NAME}:PORT".encode()
HOST = f"Host: {NAME}:PORT\r\n".encode()


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


# -- case 60: tricks


TRICKS = {
    "nothing named": "CONNECT evil.example:443",
    "loopback": "CONNECT 127.0.0.1:443",
    "metadata": "CONNECT 169.254.169.254:80",
    "decimal": "CONNECT 2130706433:443",
    "octal": "CONNECT 0177.0.0.1:443",
    "hex": "CONNECT 0x7f000001:443",
    "short": "CONNECT 127.1:443",
    "v6": "CONNECT [::1]:443",
    "v6 mapped": "CONNECT [::ffff:127.0.0.1]:443",
    "last dot": f"CONNECT {NAME}.:443",
    "suffix": f"CONNECT {NAME}.evil.example:443",
    "prefix": f"CONNECT evil{NAME}:443",
    "below": f"CONNECT a.{NAME}:443",
    "userinfo": f"CONNECT {NAME}@evil.example:443",
    "userinfo before": f"CONNECT evil.example@{NAME}:443",
    "no port": f"CONNECT {NAME}",
    "port 0": f"CONNECT {NAME}:0",
    "another port": f"CONNECT {NAME}:22",
    "plain port": f"CONNECT {NAME}:80",
    "padded port": f"CONNECT {NAME}:0443",
    "a scheme": f"CONNECT https://{NAME}:443",
    "escaped": "CONNECT docs%2eexample.org:443",
    "with a body": f"CONNECT {NAME}:443 HTTP/1.1\r\nContent-Length: 9\r\nX:",
    "with chunks": f"CONNECT {NAME}:443 HTTP/1.1\r\nTransfer-Encoding: chunked\r\nX:",
    "the gateway's own name": "CONNECT gateway.corral:80",
    "another method": f"GET {NAME}:443",
}


@pytest.mark.parametrize("name", TRICKS)
def test_case_60_nobody_is_dialled_for_a_trick(world: World, name: str) -> None:
    async def story() -> None:
        async with boxed(world, NAME) as box:
            got = await box.say(f"{TRICKS[name]} HTTP/1.1\r\n".encode() + HTTP)
            assert got[:12] in {b"HTTP/1.1 400", b"HTTP/1.1 403", b"HTTP/1.0 400"}, got

    run(story())
    assert (world.dialled, world.asked) == ([], [])
    assert not any(line["allowed"] for line in world.audit)


PRIVATE = ["127.0.0.1", "::1", "10.0.0.1", "192.168.1.1", "169.254.169.254", "::ffff:127.0.0.1", "fd00::1",
           "fe80::1%1", "64:ff9b::7f00:1", "2002:7f00:1::1", "0.0.0.0",  # noqa: S104 - not bound to
           "100.64.0.1",
           "224.0.0.1"]  # fmt: skip


@pytest.mark.parametrize("address", PRIVATE)
@pytest.mark.parametrize("method", ["CONNECT", "GET"])
def test_case_60_an_allowed_name_that_leads_inside(world: World, address: str, method: str) -> None:
    """One of a name's addresses is private → none of them is dialled, and the box does not learn it."""
    world.names[NAME] = [[PUBLIC, address]]
    target = f"{NAME}:443" if method == "CONNECT" else f"http://{NAME}/"

    async def story() -> None:
        async with boxed(world, NAME) as box:
            got = await box.say(f"{method} {target} HTTP/1.1\r\n".encode() + HTTP)
            assert got.startswith(b"HTTP/1.1 403 ")
            assert address.encode() not in got

    run(story())
    assert world.dialled == []
    (line,) = world.audit
    assert (line["allowed"], line["address"]) == (False, address)


def test_case_60_a_name_that_changes_between_look_and_use(world: World) -> None:
    """The first answer is public, every later one is this host → the address that was checked is dialled."""
    world.names[NAME] = [[PUBLIC], ["127.0.0.1"]]

    async def story() -> None:
        async with listening(echo, proof_of(NAME)) as port, boxed(world, NAME) as box:
            world.places[PUBLIC, 443] = port
            assert await over_tls(box, NAME, b"hello") == b"hello"
            assert world.asked == [NAME]
            assert (await box.say(f"CONNECT {NAME}:443 HTTP/1.1\r\n".encode() + HTTP)).startswith(
                b"HTTP/1.1 403 "
            )

    run(story())
    assert world.dialled == [(PUBLIC, 443)]
    assert sorted(line["allowed"] for line in world.audit) == [False, True]


def test_case_60_a_plain_request_is_not_looked_up_again(world: World) -> None:
    """The same for a plain request: what the client library connects to is an address."""
    world.names[NAME] = [["127.0.0.1"], ["10.0.0.1"]]
    world.open_to = {"127.0.0.1"}

    async def story() -> None:
        sent = b"GET " + TO + b"/ HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n"
        seen: list[bytes] = []

        async def serve(reader: StreamReader, writer: StreamWriter) -> None:
            await answer_once(reader, writer, OK, seen)

        async with listening(serve) as port, boxed(world, f"{NAME}:{port}") as box:
            data = sent.replace(b"PORT", str(port).encode())
            assert (await box.say(data)).endswith(b"ok")
            assert (await box.say(data)).startswith(b"HTTP/1.1 403 ")
            assert len(seen) == 1

    run(story())


def test_case_60_the_next_address_is_tried_and_is_public_too(world: World) -> None:
    world.names[NAME] = [[OTHER_PUBLIC, PUBLIC]]

    async def story() -> None:
        async with listening(echo, proof_of(NAME)) as port, boxed(world, NAME) as box:
            world.places[PUBLIC, 443] = port
            assert await over_tls(box, NAME, b"hello") == b"hello"

    run(story())
    assert world.dialled == [(OTHER_PUBLIC, 443), (PUBLIC, 443)]


def test_case_60_a_relay_in_the_box_gains_nothing(world: World) -> None:
    """A tunnel in a tunnel, TLS for another host → what counts is what the gateway is asked, each time."""

    async def story() -> None:
        async with listening(echo, proof_of(NAME, "evil.example")) as port, boxed(world, NAME) as box:
            world.places[PUBLIC, 443] = port
            with pytest.raises((OSError, ssl.SSLError, asyncio.IncompleteReadError)):
                await over_tls(box, "evil.example", b"hello")
            reader, writer = await box.tunnel(f"{NAME}:443", b"CONNECT evil.example:443 HTTP/1.1\r\n\r\n")
            assert await asyncio.wait_for(reader.read(), 20) == b""
            writer.close()

    run(story())
    assert [line["allowed"] for line in world.audit] == [False, False]


def test_names_below_a_name(world: World) -> None:
    world.names["a.b.example.org"] = [[PUBLIC]]

    async def story() -> None:
        async with (
            listening(echo, proof_of("a.b.example.org")) as port,
            boxed(world, "*.example.org") as box,
        ):
            world.places[PUBLIC, 443] = port
            assert await over_tls(box, "a.b.example.org", b"hello", "a.b.example.org") == b"hello"
            assert await over_tls(box, "a.b.example.org", b"hello", "A.B.Example.org") == b"hello"
            got = await box.say(b"CONNECT example.org:443 HTTP/1.1\r\n" + HTTP)
            assert got.startswith(b"HTTP/1.1 403 ")

    run(story())


# -- grants


def test_a_box_without_hosts_is_answered_as_ever_and_it_is_noted(world: World) -> None:
    async def story() -> None:
        service = Service(base_url="http://127.0.0.1:1")
        async with boxed(world, accesses=(service,)) as box:
            for asked, status in (("CONNECT 127.0.0.1:22", 501), (f"GET http://{NAME}/", 403)):
                got = await box.say(f"{asked} HTTP/1.1\r\n".encode() + HTTP)
                assert got.startswith(f"HTTP/1.1 {status} ".encode())
                assert b'"type": "error"' in got
            assert box.usage.egress.refused == 2

    run(story())
    assert [line["why"] for line in world.audit] == ["the task allows no host"] * 2


def test_a_box_with_hosts_alone_asks_no_model(world: World) -> None:
    async def story() -> None:
        async with boxed(world, NAME) as box:
            for asked in ("POST /v1/messages", "HEAD /v1/messages", "GET /"):
                got = await box.say(f"{asked} HTTP/1.1\r\n".encode() + HTTP)
                assert got.startswith(b"HTTP/1.1 403 ")
            with pytest.raises(ValueError, match="let through to no host"):
                await box.grants.open(BOX, (), box.usage)

    run(story())


def test_hosts_of_a_renewed_grant_hold_from_the_next_attempt(world: World) -> None:
    async def story() -> None:
        async with boxed(world, "other.example") as box:
            ask = f"CONNECT {NAME}:443 HTTP/1.1\r\n".encode() + HTTP
            assert (await box.say(ask)).startswith(b"HTTP/1.1 403 ")
            async with boxed(world, NAME) as renewed:
                assert (await renewed.say(ask)).startswith(b"HTTP/1.1 502 ")

    run(story())
    assert world.dialled == [(PUBLIC, 443)]


# -- caps


def test_a_box_has_a_number_of_attempts_at_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(egress, "MAX_OPEN", 2)

    async def story() -> None:
        async with listening(echo) as port, boxed(world, f"{NAME}:2222") as box:
            world.places[PUBLIC, 2222] = port
            tunnels = [await box.tunnel(f"{NAME}:2222") for _ in range(2)]
            ask = f"CONNECT {NAME}:2222 HTTP/1.1\r\n".encode() + HTTP
            assert (await box.say(ask)).startswith(b"HTTP/1.1 429 ")
            tunnels.pop()[1].close()
            await box.until(lambda: len(world.audit) == 2)
            _, writer = await box.tunnel(f"{NAME}:2222")
            writer.close()
            tunnels.pop()[1].close()

    run(story())


def test_a_flood_of_attempts_drives_nothing_out_of_the_audit(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(egress, "MAX_ATTEMPTS", 3)

    async def story() -> None:
        async with boxed(world, NAME) as box:
            for _ in range(8):
                await box.say(b"CONNECT evil.example:443 HTTP/1.1\r\n" + HTTP)
            assert box.usage.egress.refused == 8
            got = await box.say(f"CONNECT {NAME}:443 HTTP/1.1\r\n".encode() + HTTP)
            assert got.startswith(b"HTTP/1.1 429 ")

    run(story())
    assert [line["why"][:20] for line in world.audit] == [
        *["the task does not al"] * 3, "this box has made 3 "
    ]  # fmt: skip
    assert world.dialled == []


@pytest.mark.parametrize(
    ("cap", "most", "why"),
    [
        ("MAX_UP", 100_000, "MiB from the box in one go"),
        ("MAX_BOX_UP", 100_000, "MiB from the box in all"),
        ("MAX_DOWN", 100_000, "MiB to the box in one go"),
        ("MAX_BOX_DOWN", 100_000, "MiB to the box in all"),
        ("IDLE_SECONDS", 0.1, "silent for more than"),
        ("MAX_SECONDS", 0.2, "open for more than"),
    ],
)
def test_a_tunnel_ends_at_its_caps(
    world: World, monkeypatch: pytest.MonkeyPatch, cap: str, most: float, why: str
) -> None:
    monkeypatch.setattr(flow, cap, most)

    async def story() -> None:
        async with listening(echo) as port, boxed(world, f"{NAME}:2222") as box:
            world.places[PUBLIC, 2222] = port
            reader, writer = await box.tunnel(
                f"{NAME}:2222", b"x" * (300_000 if "SECONDS" not in cap else 10)
            )
            assert len(await asyncio.wait_for(reader.read(), 20)) <= 100_000
            writer.close()

    run(story())
    (line,) = world.audit
    assert why in line["why"]


def test_a_plain_request_ends_at_its_caps(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow, "MAX_UP", 5000)

    async def story() -> None:
        sent = b"POST " + TO + b"/ HTTP/1.1\r\n" + HOST + b"Content-Length: 9000\r\n\r\n" + b"x" * 9000
        got, seen = await plainly(world, sent, OK)
        assert got.startswith(b"HTTP/1.1 413 ")
        assert seen == []
        monkeypatch.setattr(flow, "MAX_DOWN", 1)
        got, seen = await plainly(world, b"GET " + TO + b"/ HTTP/1.1\r\n" + HOST + b"\r\n", OK)
        assert not got.endswith(b"ok")

    run(story())
    assert ["MiB from" in line["why"] or "MiB to" in line["why"] for line in world.audit] == [True, True]


def test_names_are_looked_up_a_few_at_a_time(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(egress, "LOOKUP_SECONDS", 0.2)
    monkeypatch.setattr(egress, "MAX_LOOKUPS", 2)
    hangs = asyncio.Event()

    async def story() -> None:
        async def hang(host: str, _port: int) -> list[str]:
            world.asked.append(host)
            await hangs.wait()
            raise OSError

        monkeypatch.setattr(world, "look_up", hang)
        async with boxed(world, "*.example.org") as box:
            asks = [box.say(f"CONNECT h{n}.example.org:443 HTTP/1.1\r\n".encode() + HTTP) for n in range(6)]
            for got in await asyncio.gather(*asks):
                assert got.startswith(b"HTTP/1.1 502 ")
            assert len(world.asked) == 2
            hangs.set()

    run(story())


# -- the audit, and the world as it is


def test_the_audit_is_private_inert_and_turned_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "MAX_FILE", 1000)
    monkeypatch.setattr(audit, "KEPT", 2)
    book = audit.Audit(tmp_path / "egress.log")
    for _ in range(31):
        book.note(audit.Attempt(BOX, "GET\x1b[31m", "\x9d\u202e\udcff" + "x" * 5000, why='"\n'))
    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == ["egress.log", "egress.log.1", "egress.log.2"]
    for file in files:
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert file.stat().st_size < 2000
        text = file.read_text("ascii")
        assert all(" " <= letter <= "~" or letter == "\n" for letter in text)


def test_without_an_audit_nobody_is_let_out(world: World) -> None:
    async def story() -> None:
        async with boxed(world, NAME) as box:
            (world.home / "egress.log").mkdir()
            ask = f"CONNECT {NAME}:443 HTTP/1.1\r\n".encode() + HTTP
            statuses = [(await box.say(ask))[9:12] for _ in range(2)]
            assert statuses == [b"502", b"503"]
            (world.home / "egress.log").rmdir()
            statuses = [(await box.say(ask))[9:12] for _ in range(2)]
            assert statuses == [b"503", b"502"]

    run(story())


def test_the_host_s_own_addresses_are_known() -> None:
    assert is_own("127.0.0.1")
    assert not is_own("192.0.2.1")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        try:
            made.connect((PUBLIC, 9))  # nothing is sent
        except OSError:
            pytest.skip("this host has no way out, so no address of its own to be reached at")
        assert is_own(made.getsockname()[0])
    assert refusal("127.0.0.1") == "127.0.0.1 is not a public address"


def test_names_are_looked_up_as_whole_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """No search domain of the host may be put behind a name, and no address comes twice."""
    asked: list[object] = []

    def resolver(host: object, port: int, **_: object) -> list[tuple[object, ...]]:
        asked.append(host)
        return [(0, 0, 0, "", (address, port)) for address in (OTHER_PUBLIC, PUBLIC, OTHER_PUBLIC)]

    monkeypatch.setattr(socket, "getaddrinfo", resolver)
    with ThreadPoolExecutor(1) as threads:
        assert asyncio.run(look_up(threads, NAME, 443)) == [OTHER_PUBLIC, PUBLIC]
    assert asked == [f"{NAME}.".encode()]


def test_dialling_connects_to_the_address_that_it_is_given() -> None:
    async def story() -> None:
        async with listening(echo) as port:
            _, writer = await dial("127.0.0.1", port)
            assert writer.get_extra_info("peername") == ("127.0.0.1", port)
            writer.close()
            with pytest.raises(socket.gaierror):
                await dial("localhost", port)

    run(story())
