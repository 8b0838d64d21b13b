"""The books agree with the service's: equal to the token for what it told, never below for what was cut."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from runner.gateway.booking import prices
from runner.gateway.client import Gateway
from runner.gateway.grants import Account, Service, Standing, Tokens
from runner.tasks.plan import Budget, Caps
from tests.conftest import FULL, SEED
from tests.contract import bookkeeper
from tests.contract.bookkeeper import Book, Row, ask, booked, played, request

BATCHES, SESSIONS = (40, 25) if FULL else (1, 25)
KILLS = 30 if FULL else 3
BOXES = [f"{number:012x}" for number in range(6)]
AT_ONCE = 3
"""Requests of one box at once, where the process is to be killed."""


def account(attempt: str) -> Account:
    """In whose name a session asks; dollars are capped, far away."""
    budget = Budget(run=Caps(usd=1_000_000))
    return Account(run="r", task="t", profile="p", attempt=attempt, budget=budget)


def services(url: str) -> tuple[Service, Service]:
    """Access to the service in both dialects."""
    return Service(base_url=url), Service(dialect="openai", base_url=f"{url}/v1")


def whole(tokens: Tokens) -> int:
    """All tokens of input."""
    return tokens.input + tokens.cache_read + tokens.cache_write


def dollars(book: Book, name: str, tokens: Tokens) -> float:
    """What tokens of a request cost."""
    cost = prices.usd("anthropic" if book.api == "messages" else "openai", name, tokens)
    assert cost is not None
    return cost


def check(name: str, book: Book, row: Row, play: bookkeeper.Json, body: bytes) -> None:
    """The ledger's word on one request, against the service's."""
    told = (row.tokens, row.states, book, play)
    assert "open" not in row.states, told
    if play["what"] in ("status", "hangup") and book.sent == Tokens():
        # Nothing was answered. What was refused costs nothing; what fell silent may have been at work.
        assert row.tokens == Tokens() or play["what"] == "hangup", told
    elif book.told is not None and play["what"] in ("whole", "service") and len(row.states) == 1:
        assert row.tokens == book.told, told
        assert row.states[-1] == "settled", told
        assert row.usd == pytest.approx(dollars(book, name, book.told)), told
    assert whole(row.tokens) >= whole(book.sent), told
    assert row.tokens.output >= book.sent.output, told
    assert row.usd >= dollars(book, name, book.sent) * (1 - 1e-9), told
    tries = len(row.states)
    assert whole(row.tokens) <= tries * len(body), told
    assert row.tokens.output <= tries * (play["output"] + play["spare"]), told


class Night:
    """Random sessions of several boxes at once, through a real gateway process."""

    def __init__(self, gateway: Gateway, url: str, first: int) -> None:
        self.gateway, self.url, self._number = gateway, url, first
        self.plays: dict[str, tuple[bookkeeper.Json, bytes]] = {}

    async def ask(self, folder: Path, play: bookkeeper.Json) -> bool:
        """One request, under a name of its own."""
        self._number += 1
        self.plays[bookkeeper.name_of(play["api"], self._number)] = play, request(self._number, play)
        return await ask(folder, self._number, play)

    async def session(self, box: str, seed: int) -> None:
        """A few turns: streamed, after failures asked again, and in the end not streamed."""
        random_ = random.Random(seed)  # noqa: S311 - no secret
        folder = await asyncio.to_thread(
            self.gateway.grant, box, *services(self.url), account=account(f"t/p/{seed}")
        )
        for _ in range(random_.randrange(1, 4)):
            for attempt in range(4):
                stream = attempt < 3 and random_.random() < 0.9
                if await self.ask(folder, played(random_, stream=stream, fault=random_.random() < 0.45)):
                    break


def at_rest(home: Path) -> list[Standing]:
    """How all grants stand, once nothing is on its way any more."""
    while True:
        found = Gateway.look(home)
        assert found is not None
        if not any(one.usage.in_flight for one in found[1]):
            return found[1]
        time.sleep(0.02)


@pytest.mark.parametrize("batch", range(BATCHES))
def test_random_sessions_are_booked_as_the_service_books_them(tmp_path: Path, batch: int) -> None:
    seed = SEED + batch * SESSIONS
    print(f"sessions {seed} to {seed + SESSIONS - 1}")
    gateway, service = Gateway.ensure(tmp_path / "home", idle=60), bookkeeper.Service()

    async def story() -> Night:
        async with bookkeeper.serving(service) as url:
            night, left = Night(gateway, url, 0), iter(range(seed, seed + SESSIONS))

            async def work(box: str) -> None:
                for one in left:
                    await night.session(box, one)

            await asyncio.gather(*map(work, BOXES))
            return night

    night = asyncio.run(story())
    standing = at_rest(tmp_path / "home")
    for box in BOXES:
        gateway.revoke(box)
    assert gateway.leave()
    rows = booked(tmp_path / "home" / "g" / "ledger.db")
    # A box that hangs up at once may do so before its request was taken in.
    assert set(service.books) <= set(rows) <= set(night.plays)
    for name, row in rows.items():
        play, body = night.plays[name]
        check(name, service.books.get(name, Book(play["api"])), row, play, body)
    run = standing[0].spent["run"]
    assert run.tokens == sum(whole(row.tokens) + row.tokens.output for row in rows.values())
    assert run.usd == pytest.approx(sum(row.usd for row in rows.values()))
    print(f"{len(rows)} requests, {sum('doubt' in row.states for row in rows.values())} of them cut")


def process_of(home: Path) -> psutil.Process:
    """The gateway process of a state directory."""
    (found,) = [one for one in psutil.process_iter(["cmdline"]) if str(home) in (one.info["cmdline"] or [])]
    return found


def interrupted(
    home: Path, seed: int, end: Callable[[psutil.Process], None], longest: float = 1.5
) -> tuple[Night, bookkeeper.Service, dict[str, Row], int]:
    """Many streams at once, in the midst of which a process is ended; the ledger as the next one leaves it.

    Returns also how many answers came whole.
    """
    random_ = random.Random(seed)  # noqa: S311 - no secret
    gateway, service = Gateway.ensure(home, idle=60), bookkeeper.Service()
    arrived = 0

    async def work(night: Night, folder: Path, mine: random.Random) -> None:
        nonlocal arrived
        while True:
            play = played(mine, stream=mine.random() < 0.8, fault=False) | {"usage": True}
            try:
                if not await night.ask(folder, play):
                    return
            except OSError:
                return
            arrived += 1

    async def story() -> Night:
        async with bookkeeper.serving(service) as url:
            night = Night(gateway, url, 0)
            folders = [
                await asyncio.to_thread(gateway.grant, box, *services(url), account=account(f"t/p/{box}"))
                for box in BOXES
            ]
            process = process_of(home)
            busy = [
                asyncio.create_task(work(night, folder, random.Random(mine)))  # noqa: S311 - no secret
                for folder in folders
                for mine in random_.sample(range(2**32), AT_ONCE)
            ]
            await asyncio.sleep(random_.uniform(0.1, longest))
            await asyncio.to_thread(end, process)
            await asyncio.gather(*busy)
            return night

    night = asyncio.run(story())
    gateway.usage(BOXES[0])  # the next process, which goes on with what it finds
    for box in BOXES:
        gateway.revoke(box)
    assert gateway.leave()
    return night, service, booked(home / "g" / "ledger.db"), arrived


@pytest.mark.parametrize("number", range(KILLS))
def test_killed_among_live_streams_it_has_booked_what_was_sent(tmp_path: Path, number: int) -> None:
    """Booked ≥ sent, by no more than the reservations that were in flight: one of each who asked."""
    print(f"seed {SEED} + {number}")

    def kill(process: psutil.Process) -> None:
        process.send_signal(signal.SIGKILL)
        process.wait(20)

    night, service, rows, arrived = interrupted(tmp_path / "home", SEED + number, kill)
    assert set(service.books) <= set(rows)
    exact = 0
    for name, row in rows.items():
        play, body = night.plays[name]
        book = service.books.get(name, Book(play["api"]))
        check(name, book, row, play | {"what": "killed"}, body)
        exact += book.told is not None and row.tokens == book.told
    doubts = [night.plays[name] for name, row in rows.items() if row.states != ["settled"]]
    assert len(doubts) <= len(BOXES) * AT_ONCE
    assert exact >= arrived - len(doubts), "what was answered whole is booked as it was told"
    over = sum(whole(row.tokens) + row.tokens.output for row in rows.values()) - sum(
        whole(book.sent) + book.sent.output for book in service.books.values()
    )
    bounds = sum(len(body) + play["output"] + play["spare"] for play, body in doubts)
    assert 0 <= over <= bounds
    print(f"{len(rows)} requests, {len(doubts)} in flight, booked over sent by {over} of at most {bounds}")


def test_asked_to_end_it_lets_live_streams_end_and_books_them(tmp_path: Path) -> None:
    def end(process: psutil.Process) -> None:
        process.send_signal(signal.SIGTERM)
        process.wait(30)

    night, service, rows, _ = interrupted(tmp_path / "home", SEED, end)
    assert set(service.books) == set(rows)
    for name, row in rows.items():
        play, body = night.plays[name]
        check(name, service.books[name], row, play, body)
        assert row.states == ["settled"], "its answer came to its end"


def test_asked_twice_it_cuts_them_and_books_what_they_can_have_been(tmp_path: Path) -> None:
    gateway, service = Gateway.ensure(tmp_path / "home", idle=60), bookkeeper.Service()
    random_ = random.Random(SEED)  # noqa: S311 - no secret
    play = played(random_, stream=True, fault=False)
    play |= {"api": "messages", "output": 100_000, "hidden": 0, "spare": 0}

    async def story() -> None:
        async with bookkeeper.serving(service) as url:
            folder = await asyncio.to_thread(gateway.grant, BOXES[0], *services(url), account=account("a"))
            asking = asyncio.create_task(ask(folder, 1, play))
            while not any(book.sent.output for book in service.books.values()):
                await asyncio.sleep(0.01)
            process = process_of(tmp_path / "home")
            for _ in range(2):
                process.send_signal(signal.SIGTERM)
                await asyncio.sleep(0.1)
            await asyncio.to_thread(process.wait, 30)
            assert not await asking

    began = time.monotonic()
    asyncio.run(story())
    usage = gateway.revoke(BOXES[0])
    assert (usage.requests, usage.input) == (1, play["input"]), "as the process that ended left it"
    assert gateway.leave()
    (row,) = booked(tmp_path / "home" / "g" / "ledger.db").values()
    (book,) = service.books.values()
    assert row.states == ["doubt"]
    assert book.sent.output <= row.tokens.output < 100_000
    assert whole(row.tokens) == whole(book.sent)
    print(f"{row.tokens.output} booked, {book.sent.output} sent in {time.monotonic() - began:.1f} s")
