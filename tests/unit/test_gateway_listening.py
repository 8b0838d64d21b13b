"""The bounds on a box's connections, with the clock turned up."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import cast

import aiohttp
import pytest

from runner.gateway import forward, listening, sockets
from runner.gateway.booking.ledger import Ledger
from runner.gateway.egress.outside import Outside
from runner.gateway.grants import Access, Account, Service, Usage
from runner.gateway.listening import Grants
from runner.gateway.playing.recorder import Recorder

BOX = "0123456789ab"


def no_client(_access: Access) -> aiohttp.ClientSession:
    raise AssertionError("no request may get this far")


async def closed_after(home: Path, sent: bytes) -> tuple[float, bytes]:
    """Seconds until the gateway hangs up on a box that sends these bytes and then nothing."""
    ledger = Ledger(home / "ledger.db")
    nowhere = cast(Outside, None)  # no box of these tests is let out
    grants = Grants(home, ledger, no_client, lambda _url: None, nowhere, Recorder(home))
    await grants.open(BOX, (Service(base_url="http://127.0.0.1:1"),), Usage(), Account())
    try:
        started = time.monotonic()
        fresh = sockets.connect(home / "s" / BOX, "gw.sock", 5)
        fresh.setblocking(False)
        reader, writer = await asyncio.open_unix_connection(sock=fresh)
        writer.write(sent)
        got = await asyncio.wait_for(reader.read(), 10)
        writer.close()
        await writer.wait_closed()
        return time.monotonic() - started, got
    finally:
        usage = await grants.close(BOX)
        ledger.close()
        assert usage is not None
        assert usage.in_flight == 0


@pytest.mark.parametrize("sent", [b"", b"POST /v1/messages HTTP/1.1\r\nHost: x\r\n"])
def test_a_connection_without_whole_headers_is_closed_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr(listening, "CONNECTION_TIMEOUT", 0.3)
    seconds, got = asyncio.run(closed_after(tmp_path, sent))
    assert got == b""
    assert seconds > 0.2


def test_a_body_that_does_not_come_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forward, "BODY_TIMEOUT", 0.3)
    monkeypatch.setattr(listening, "LINGER", 0.1)
    sent = b"POST /v1/messages HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{}"
    _, got = asyncio.run(closed_after(tmp_path, sent))
    assert got.startswith(b"HTTP/1.1 408 ")


def test_a_box_has_a_share_of_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forward, "MAX_HELD", 10)
    sent = (
        b"POST /v1/messages HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 20\r\n\r\n"
        + b"x" * 20
    )
    _, got = asyncio.run(closed_after(tmp_path, sent))
    assert got.startswith(b"HTTP/1.1 429 ")
    assert b"retry-after: 5" in got.lower()
