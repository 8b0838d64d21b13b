"""The ledger: what was sent is never counted too low, whatever dies when."""

from __future__ import annotations

import asyncio
import random
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from runner.database import Database
from runner.errors import HostError
from runner.gateway.booking import ledger as ledger_module
from runner.gateway.booking import prices
from runner.gateway.booking.books import Amount
from runner.gateway.booking.ledger import Asked, Ledger, OverBudgetError, UnpricedError
from runner.gateway.grants import Account, Tokens
from runner.tasks.plan import Budget, Caps
from tests.conftest import FULL, SEED

ASKED = Asked("anthropic", "claude-opus-5-5", Tokens(input=1000, output=200))
WHO = Account(run="r", task="t", profile="p", attempt="t/p/1")
KILLS = 30 if FULL else 3


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with closing(Ledger(tmp_path / "ledger.db")) as made:
        yield made


def rows(file: Path) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(file)) as database:
        return database.execute(
            "SELECT state, model, input, output, usd FROM requests ORDER BY id"
        ).fetchall()


async def ask(ledger: Ledger, who: Account, used: Tokens | None, asked: Asked = ASKED) -> None:
    async with ledger.entry(who, asked) as entry:
        if used is not None:
            entry.settle(used, None)


def test_what_was_used_takes_the_place_of_what_could_be(tmp_path: Path) -> None:
    with closing(Ledger(tmp_path / "l.db")) as ledger:
        asyncio.run(ask(ledger, WHO, Tokens(input=10, output=5)))
        spent = ledger.spent(WHO)["attempt"]
    cost = prices.usd("anthropic", "claude-opus-5-5", Tokens(input=10, output=5))
    assert cost is not None
    assert (spent.tokens, spent.requests) == (15, 1)
    assert spent.usd == pytest.approx(cost)
    assert rows(tmp_path / "l.db") == [("settled", "claude-opus-5-5", 10, 5, pytest.approx(cost))]


def test_an_answer_that_told_nothing_counts_as_the_most_it_could_be(tmp_path: Path) -> None:
    with closing(Ledger(tmp_path / "l.db")) as ledger:
        asyncio.run(ask(ledger, WHO, None))
        assert ledger.spent(WHO)["run"].tokens == 1200
    assert [row[0] for row in rows(tmp_path / "l.db")] == ["doubt"]


def test_a_price_that_is_not_known_is_unknown_and_not_nothing(ledger: Ledger) -> None:
    unheard = Asked("anthropic", "nobody-1", Tokens(input=10, output=10))
    asyncio.run(ask(ledger, WHO, Tokens(input=1, output=1), unheard))
    spent = ledger.spent(WHO)["attempt"]
    assert (spent.usd, spent.unpriced, spent.tokens) == (0, 1, 2)


def test_the_next_process_goes_on_where_the_last_one_was(tmp_path: Path) -> None:
    for count in (1, 2, 3):
        with closing(Ledger(tmp_path / "l.db")) as ledger:
            asyncio.run(ask(ledger, WHO, Tokens(input=7)))
            assert ledger.spent(WHO)["run"].tokens == 7 * count
            assert ledger.spent(WHO.model_copy(update={"run": "other"}))["run"].tokens == 0


def test_a_spent_budget_is_said_and_what_waits_for_it_goes_on(ledger: Ledger) -> None:
    who = WHO.model_copy(update={"budget": Budget(run=Caps(tokens=100))})

    async def three() -> list[object]:
        return await asyncio.gather(
            *(ask(ledger, who, Tokens(input=60)) for _ in range(3)), return_exceptions=True
        )

    results = asyncio.run(three())
    assert [type(one).__name__ for one in results] == ["NoneType", "NoneType", "OverBudgetError"]
    assert isinstance(results[2], OverBudgetError)
    assert results[2].kind == "run"
    assert ledger.spent(who)["run"].tokens == 120, "overshot by less than one request"


def test_who_leaves_while_waiting_leaves_nothing(ledger: Ledger) -> None:
    who = WHO.model_copy(update={"budget": Budget(run=Caps(tokens=100))})

    async def leave() -> None:
        async with ledger.entry(who, ASKED) as entry:
            waiting = asyncio.create_task(ask(ledger, who, Tokens(input=1)))
            await asyncio.sleep(0.05)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            entry.settle(Tokens(input=3), None)

    asyncio.run(leave())
    assert ledger.spent(who)["run"].tokens == 3


def test_nothing_is_sent_that_cannot_be_written_down(tmp_path: Path) -> None:
    with closing(Ledger(tmp_path / "l.db")) as ledger:
        ledger.spent(WHO)
        ledger._database.write("DROP TABLE requests")
        with pytest.raises(HostError, match="can't be written"):
            asyncio.run(ask(ledger, WHO, None))
        assert ledger.spent(WHO)["run"].tokens == 0


SENDER = """
import asyncio, sys
from pathlib import Path
from runner.gateway.grants import Account, Tokens
from runner.gateway.booking.ledger import Asked, Ledger

async def ask(ledger, number):
    who = Account(run="r", task="t", profile="p", attempt=f"t/p/{number % 5}")
    most = Tokens(input=100, output=50)
    async with ledger.entry(who, Asked("anthropic", "claude-opus-5-5", most)) as entry:
        print("sent", flush=True)
        await asyncio.sleep(0.002)
        entry.settle(Tokens(input=100, output=20), None)

async def many():
    ledger = Ledger(Path(sys.argv[1]))
    await asyncio.gather(*(ask(ledger, number) for number in range(3000)))

asyncio.run(many())
"""


@pytest.mark.parametrize("number", range(KILLS))
def test_a_process_that_is_killed_has_written_down_all_that_it_sent(tmp_path: Path, number: int) -> None:
    after = random.Random(SEED + number).randrange(1, 2500)  # noqa: S311 - an instant, not a secret
    print(f"killed after {after} requests; seed {SEED} + {number}")
    file = tmp_path / "l.db"
    with subprocess.Popen(
        [sys.executable, "-c", SENDER, str(file)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        sent = sum(1 for _, _ in zip(range(after), process.stdout, strict=False))
        process.send_signal(signal.SIGKILL)
        sent += sum(line == "sent\n" for line in process.stdout)
    with closing(Ledger(file)) as ledger:
        spent = ledger.spent(WHO)["run"]
    states = [row[0] for row in rows(file)]
    assert spent.requests >= sent
    assert spent.requests - sent <= 3000 - after
    assert 120 * spent.requests <= spent.tokens <= 150 * spent.requests
    assert set(states) <= {"settled", "doubt"}


UNHEARD = Asked("anthropic", "nobody-1", Tokens(input=10, output=10))


def in_dollars(kind: str, *, scripted: bool = False) -> Account:
    return WHO.model_copy(update={"budget": Budget.model_validate({kind: {"usd": 9}}), "scripted": scripted})


@pytest.mark.parametrize("kind", ["attempt", "task", "profile", "run", "day"])
def test_a_model_without_a_price_is_not_asked_while_dollars_are_capped(ledger: Ledger, kind: str) -> None:
    with pytest.raises(UnpricedError, match=r"'nobody-1' is not known.*cap tokens"):
        asyncio.run(ask(ledger, in_dollars(kind), None, UNHEARD))
    assert ledger.spent(WHO)["attempt"] == Amount()
    asyncio.run(ask(ledger, in_dollars(kind), Tokens(input=1)))
    assert ledger.spent(WHO)["attempt"].requests == 1


def test_a_cap_of_a_book_that_a_script_is_not_entered_in_is_none_of_its_caps(ledger: Ledger) -> None:
    asyncio.run(ask(ledger, in_dollars("day", scripted=True), None, UNHEARD))
    assert ledger.spent(WHO)["attempt"].unpriced == 1


@pytest.mark.parametrize("capped", [True, False])
def test_an_answer_of_a_model_without_a_price(ledger: Ledger, capped: bool) -> None:
    """Where money is capped it costs the most that it could have; elsewhere its cost is unknown."""

    async def answered() -> None:
        async with ledger.entry(in_dollars("run") if capped else WHO, ASKED) as entry:
            entry.settle(Tokens(input=5, output=5), "nobody-1")

    asyncio.run(answered())
    spent = ledger.spent(WHO)["run"]
    most = prices.most_usd("anthropic", "claude-opus-5-5", ASKED.most)
    assert (spent.tokens, spent.usd, spent.unpriced) == ((10, most, 0) if capped else (10, 0, 1))


def test_what_was_absorbed_counts_nowhere_and_stays_in_the_table(tmp_path: Path) -> None:
    who = WHO.model_copy(update={"budget": Budget(run=Caps(requests=1))})

    async def retried(ledger: Ledger) -> None:
        for _ in range(3):
            async with ledger.entry(who, ASKED) as entry:
                entry.absorbed()
        await ask(ledger, who, Tokens(input=7))

    for _ in range(2):  # summed up in memory first, then from the table
        with closing(Ledger(tmp_path / "l.db")) as ledger:
            if not ledger.spent(who)["run"].requests:
                asyncio.run(retried(ledger))
            assert (ledger.spent(who)["run"].requests, ledger.spent(who)["run"].tokens) == (1, 7)
    assert [row[0] for row in rows(tmp_path / "l.db")] == ["absorbed"] * 3 + ["settled"]


@pytest.mark.parametrize("later", [True, False])
def test_a_settlement_that_cannot_be_written_is_written_later(tmp_path: Path, later: bool) -> None:
    """With the next request, or at the end."""

    async def story(ledger: Ledger) -> None:
        async with ledger.entry(WHO, ASKED) as entry:
            ledger._database.write("ALTER TABLE requests RENAME TO away")
            entry.settle(Tokens(input=3), None)
        with pytest.raises(HostError, match="can't be written"):
            await ask(ledger, WHO, None)
        ledger._database.write("ALTER TABLE away RENAME TO requests")
        if later:
            await ask(ledger, WHO, Tokens(input=4))

    with closing(Ledger(tmp_path / "l.db")) as ledger:
        asyncio.run(story(ledger))
        assert ledger.spent(WHO)["run"].tokens == (7 if later else 3)
    expected = [("settled", 3), ("settled", 4)]
    assert [(row[0], row[2]) for row in rows(tmp_path / "l.db")] == expected[: 1 + later]


def test_a_ledger_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    with closing(Ledger(tmp_path / "l.db")) as ledger:
        ledger._database.write("DROP TABLE requests")
        with pytest.raises(HostError, match="the ledger can't be read") as failed:
            asyncio.run(ask(ledger, WHO, None))
        assert "out of the way" in str(failed.value.cure)


def test_a_ledger_of_an_earlier_format_goes_on(tmp_path: Path) -> None:
    earlier = ledger_module._SCHEMA
    with closing(Database(tmp_path / "l.db", (earlier,), "ledger")) as database:
        database.write(
            "INSERT INTO requests VALUES (1, 0, '2026-01-01', 'r', 't', 'p', 't/p/1', 0, 'anthropic',"
            " 'claude-opus-5-5', 'settled', 5, 6, 0, 0, 0.5)"
        )
    with closing(Ledger(tmp_path / "l.db")) as ledger:
        asyncio.run(ask(ledger, WHO, Tokens(input=1, output=3, reasoning=2)))
        assert (ledger.spent(WHO)["run"].tokens, ledger.spent(WHO)["run"].requests) == (15, 2)
    with closing(sqlite3.connect(tmp_path / "l.db")) as database_:
        assert database_.execute("SELECT reasoning FROM requests").fetchall() == [(0,), (2,)]
