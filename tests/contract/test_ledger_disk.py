"""The ledger's disk is full, or the ledger is damaged: nothing is asked, nothing lost, and it is said."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.errors import HostError
from runner.gateway.client import Gateway
from tests.conftest import SEED
from tests.contract import bookkeeper
from tests.contract.bookkeeper import Json, ask, booked, played
from tests.contract.test_accounting import BOXES, account, check, process_of, services

FILE = Path("g", "ledger.db")


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A state directory on a file system of 8 MiB."""
    home = tmp_path / "home"
    home.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m,mode=755", "corral-test", str(home)]
    subprocess.run(mount, check=True)
    try:
        yield home
    finally:
        subprocess.run(["umount", str(home)], check=True)


def fill(file: Path) -> None:
    """Leave no room on a file's disk."""
    with file.open("wb", buffering=0) as handle:
        size = 65536
        while size:
            try:
                handle.write(b"x" * size)
            except OSError:
                size //= 2


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small file system")
def test_what_cannot_be_written_down_is_not_asked_and_what_was_is_settled_later(small: Path) -> None:
    gateway, service = Gateway.ensure(small, idle=60), bookkeeper.Service()
    process = process_of(small)
    random_ = random.Random(SEED)  # noqa: S311 - no secret
    plays: dict[str, tuple[Json, bytes]] = {}

    async def whole(folder: Path, number: int, **more: object) -> bool:
        play = played(random_, stream=True, fault=False) | {"usage": True} | more
        plays[bookkeeper.name_of(play["api"], number)] = play, bookkeeper.request(number, play)
        return await ask(folder, number, play)

    async def story() -> None:
        async with bookkeeper.serving(service) as url:
            folder = await asyncio.to_thread(gateway.grant, BOXES[0], *services(url), account=account("a"))
            assert await whole(folder, 1)
            under_way = asyncio.create_task(whole(folder, 2, output=1500, hidden=0))
            while len(service.books) < 2:
                await asyncio.sleep(0.01)
            fill(small / "filler")
            for number in range(3, 30):  # until the room in the file itself is used up too
                if not await whole(folder, number, output=5):
                    break
            asked = len(service.books)
            assert not await whole(folder, 30)
            assert len(service.books) == asked < len(plays), "it was not sent"
            assert await under_way, "what is under way comes to its end"
            (small / "filler").unlink()
            assert await whole(folder, 31)

    asyncio.run(story())
    gateway.revoke(BOXES[0])
    assert gateway.leave()
    process.wait(20)  # until then its files keep the file system busy
    log = (small / "g" / "gateway.log").read_text()
    assert "written down: the ledger can" in log
    rows = booked(small / FILE)
    assert set(rows) == set(service.books)
    for name, row in rows.items():
        check(name, service.books[name], row, *plays[name])
        assert row.states == ["settled"]


def test_a_damaged_ledger_is_named_with_a_cure(tmp_path: Path) -> None:
    (tmp_path / "home" / "g").mkdir(parents=True)
    (tmp_path / "home" / FILE).write_bytes(b"not a database at all" * 500)
    with pytest.raises(HostError, match=r"ledger\.db can't be opened: file is not a database"):
        Gateway.ensure(tmp_path / "home")
    (tmp_path / "home" / FILE).rename(tmp_path / "away")
    assert Gateway.ensure(tmp_path / "home").leave()
