"""Where a box may get to over its real socket, in a world that the test plays."""

from __future__ import annotations

import asyncio
import ssl
from asyncio import StreamReader, StreamWriter
from contextlib import suppress

import pytest

from runner.gateway.grants import Account, Service
from tests.contract.world import (
    BOX,
    HOST,
    HTTP,
    NAME,
    OK,
    OTHER_PUBLIC,
    PUBLIC,
    TO,
    World,
    answer_once,
    boxed,
    echo,
    listening,
    over_tls,
    proof_of,
    run,
)

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
            assert [(one.host, one.refused) for one in box.usage.egress.hosts] == [
                ("127.0.0.1", 1),
                (NAME, 1),
            ]

    run(story())
    assert [line["why"] for line in world.audit] == ["the task allows no host"] * 2


def test_a_box_with_hosts_alone_asks_no_model(world: World) -> None:
    async def story() -> None:
        async with boxed(world, NAME) as box:
            for asked in ("POST /v1/messages", "HEAD /v1/messages", "GET /"):
                got = await box.say(f"{asked} HTTP/1.1\r\n".encode() + HTTP)
                assert got.startswith(b"HTTP/1.1 403 ")
            with pytest.raises(ValueError, match="let through to no host"):
                await box.grants.open(BOX, (), box.usage, Account())

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


def test_a_connection_that_is_accepted_after_the_grant_is_gone_is_cut(world: World) -> None:
    """The listening socket may have taken a connection a moment before that the loop has not made yet."""

    async def story() -> None:
        async with boxed(world, NAME) as box:
            box.grants._open[BOX].server.is_over = True
            got = b""
            with suppress(ConnectionError):
                got = await box.say(f"CONNECT {NAME}:443 HTTP/1.1\r\n".encode() + HTTP)
            assert got == b""

    run(story())
    assert (world.asked, world.audit) == ([], [])
