"""Tunnels of a box out, over its real socket, in a world that the test plays."""

from __future__ import annotations

import asyncio
import os
import ssl
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from runner.gateway import sockets
from runner.gateway.egress import tunnel
from tests.contract.world import (
    BOX,
    NAME,
    PUBLIC,
    World,
    believing,
    boxed,
    echo,
    first_words,
    listening,
    over_tls,
    proof_of,
    run,
)


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
    said = b"S" + os.urandom(299_999)  # the first byte of one in 256 random texts would be that of TLS

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


# -- TLS, wherever it is spoken


@asynccontextmanager
async def asking_again(seen: list[str | None]) -> AsyncIterator[int]:
    """A TLS server that no client has a key share for, so that it asks for a second ClientHello: its port."""

    def note(_: object, name: str | None, __: object) -> None:
        seen.append(name)

    proof = proof_of(NAME)
    proof.set_ecdh_curve("secp384r1")
    proof.sni_callback = note
    async with listening(echo, proof) as port:
        yield port


def test_a_server_may_ask_for_a_second_hello(world: World) -> None:
    seen: list[str | None] = []

    async def story() -> None:
        async with asking_again(seen) as port, boxed(world, NAME) as box:
            world.places[PUBLIC, 443] = port
            assert await over_tls(box, NAME, b"hello") == b"hello"

    run(story())
    assert set(seen) == {NAME}
    assert [(line["allowed"], line["why"]) for line in world.audit] == [(True, "")]


def second_words(first: ssl.SSLObject, said: ssl.MemoryBIO, heard: ssl.MemoryBIO, answer: bytes) -> bytes:
    """What a TLS client says when it is asked again."""
    heard.write(answer)
    with pytest.raises(ssl.SSLWantReadError):
        first.do_handshake()
    return said.read()


@pytest.mark.parametrize("evil", [True, False])
def test_the_second_hello_names_the_host_too(world: World, evil: bool) -> None:
    """A second ClientHello, good but for its name → the server, which would take it, never sees it."""
    seen: list[str | None] = []
    other = "evil.example.org"
    heard, said = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = believing().wrap_bio(heard, said, server_hostname=NAME)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    first = said.read()

    async def story() -> None:
        async with asking_again(seen) as port, boxed(world, NAME) as box:
            world.places[PUBLIC, 443] = port
            reader, writer = await box.tunnel(f"{NAME}:443", first)
            second = second_words(client, said, heard, await asyncio.wait_for(reader.read(65536), 20))
            assert NAME.encode() in second
            writer.write(second.replace(NAME.encode(), other.encode()) if evil else second)
            answer = await asyncio.wait_for(reader.read(65536), 20)
            assert bool(answer) is not evil
            writer.close()
            await box.until(lambda: len(world.audit) == 1)

    run(story())
    assert seen == [NAME] if evil else seen == [NAME, NAME]
    (line,) = world.audit
    assert (line["allowed"], line["up"] > len(first)) == (True, not evil)
    assert (f"for another host: {other}" in line["why"]) is evil


def test_a_second_hello_that_nobody_waited_for_is_held_back(world: World) -> None:
    seen: list[str | None] = []
    first = first_words(NAME)

    async def story() -> None:
        async with asking_again(seen) as port, boxed(world, NAME) as box:
            world.places[PUBLIC, 443] = port
            reader, writer = await box.tunnel(f"{NAME}:443", first + first_words("evil.example"))
            assert await asyncio.wait_for(reader.read(), 20)
            writer.close()

    run(story())
    assert seen == [NAME]
    assert [(line["allowed"], line["up"]) for line in world.audit] == [(True, len(first))]


@pytest.mark.parametrize(("named", "why"), [("evil.example", "for another host"), (None, "names no server")])
def test_tls_at_a_port_of_its_own_is_for_the_host_too(world: World, named: str | None, why: str) -> None:
    async def story() -> None:
        async with listening(echo, proof_of(NAME)) as port, boxed(world, f"{NAME}:8443") as box:
            world.places[PUBLIC, 8443] = port
            assert await over_tls(box, NAME, b"hello", port=8443) == b"hello"
            reader, writer = await box.tunnel(f"{NAME}:8443", first_words(named))
            assert await asyncio.wait_for(reader.read(), 20) == b""
            writer.close()

    run(story())
    assert [line["allowed"] for line in world.audit] == [True, False]
    assert why in world.audit[1]["why"]
    assert world.audit[1]["up"] == 0


def test_what_comes_behind_a_tunnel_s_head_is_not_hoarded(world: World) -> None:
    """A box sends on and on while its host is still being dialled → it must wait, as in an open tunnel."""
    reached, given_up = asyncio.Event(), asyncio.Event()

    async def hang(_address: str, _port: int) -> tuple[StreamReader, StreamWriter]:
        reached.set()
        await given_up.wait()
        raise ConnectionRefusedError

    world.dial = hang  # type: ignore[assignment,method-assign]

    async def story() -> None:
        async with boxed(world, NAME) as box:
            with sockets.connect(world.home / "s" / BOX, "gw.sock", 5) as made:
                made.sendall(f"CONNECT {NAME}:443 HTTP/1.1\r\nHost: x\r\n\r\n".encode())
                await asyncio.wait_for(reached.wait(), 20)
                made.setblocking(False)
                taken, waits = 0, 0
                while waits < 20:
                    try:
                        taken += made.send(b"x" * 65536)
                        waits = 0
                    except BlockingIOError:
                        waits += 1
                        await asyncio.sleep(0.01)
                    assert taken < 4_000_000, "more than buffers hold"
                given_up.set()
            await box.until(lambda: len(world.audit) == 1)

    run(story())
