"""What bounds a box on its way out, and what is noted of it."""

from __future__ import annotations

import asyncio
import errno
import socket
import stat
from asyncio import StreamReader, StreamWriter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from runner.gateway import flow
from runner.gateway.egress import audit
from runner.gateway.egress import proxy as egress
from runner.gateway.egress.outside import dial, is_own, look_up, refusal
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
    boxed,
    echo,
    listening,
    plainly,
    run,
)


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


def test_a_flood_hides_no_attempt_that_began_before_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tunnel that is open while the box makes more attempts than are noted → it is noted in the end."""
    monkeypatch.setattr(egress, "MAX_ATTEMPTS", 3)

    async def story() -> None:
        async with listening(echo) as port, boxed(world, f"{NAME}:2222") as box:
            world.places[PUBLIC, 2222] = port
            reader, writer = await box.tunnel(f"{NAME}:2222")
            for _ in range(8):
                await box.say(b"CONNECT evil.example:443 HTTP/1.1\r\n" + HTTP)
            writer.write(b"secret")
            assert await asyncio.wait_for(reader.readexactly(6), 20) == b"secret"
            writer.close()
            await box.until(lambda: box.usage.egress.allowed == 1)

    run(story())
    assert [line["number"] for line in world.audit] == [2, 3, 4, 1]
    assert (world.audit[-1]["allowed"], world.audit[-1]["up"]) == (True, 6)


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


def test_whoever_speaks_is_given_more_time() -> None:
    async def story() -> None:
        made = flow.Flow(audit.Attempt(BOX, 1, "GET"), flow.Totals(), lambda: None)
        async with asyncio.timeout(20), made.bounded():
            for move in (made.up, made.down):
                assert made._timer is not None
                before = made._timer.when()
                assert before is not None
                await asyncio.sleep(0.01)
                move(1)
                after = made._timer.when()
                assert after is not None
                assert after > before

    run(story())


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


@pytest.mark.parametrize(("cap", "why"), [("IDLE_SECONDS", "silent for"), ("MAX_SECONDS", "open for")])
def test_a_plain_request_that_is_sent_slowly_ends(
    world: World, monkeypatch: pytest.MonkeyPatch, cap: str, why: str
) -> None:
    """A body that is announced and does not come → the request is given up, as a silent tunnel is."""
    monkeypatch.setattr(flow, cap, 0.2)

    async def story() -> None:
        sent = b"POST " + TO + b"/ HTTP/1.1\r\n" + HOST + b"Content-Length: 9000\r\n\r\nx"
        got, seen = await plainly(world, sent, OK)
        assert got.startswith(b"HTTP/1.1 504 ")
        assert seen == []

    run(story())
    assert why in world.audit[0]["why"]


def test_an_answer_that_stops_is_not_ended_as_if_it_were_whole(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flow, "IDLE_SECONDS", 0.2)
    world.names, world.open_to = {NAME: [["127.0.0.1"]]}, {"127.0.0.1"}

    async def stop(reader: StreamReader, writer: StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n")
        await reader.read()
        writer.close()

    async def story() -> None:
        async with listening(stop) as port, boxed(world, f"{NAME}:{port}") as box:
            sent = b"GET " + TO + b"/ HTTP/1.1\r\n" + HOST + b"\r\n"
            got = await box.say(sent.replace(b"PORT", str(port).encode()))
            assert got.endswith(b"ok\r\n")

    run(story())
    assert (world.audit[0]["down"], "silent for" in world.audit[0]["why"]) == (2, True)


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
        book.note(audit.Attempt(BOX, 1, "GET\x1b[31m", "\x9d\u202e\udcff" + "x" * 5000, why='"\n'))
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


@pytest.mark.parametrize(("number", "told"), [(errno.EAFNOSUPPORT, False), (errno.EMFILE, None)])
def test_an_address_is_not_taken_for_another_s_for_want_of_means(
    monkeypatch: pytest.MonkeyPatch, number: int, told: bool | None
) -> None:
    """A kernel without IPv6 has no such address; a gateway without file descriptors can't know."""

    def fail(*_: object) -> None:
        raise OSError(number, "no socket")

    monkeypatch.setattr(socket, "socket", fail)
    if told is None:
        with pytest.raises(OSError, match="no socket"):
            is_own(OTHER_PUBLIC)
    else:
        assert is_own(OTHER_PUBLIC) is told


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
