"""The ledger: every request to a model that counts, entered before it is sent and settled after it.

What a crash leaves open is counted as if it had cost its upper bound: what was sent is never counted too
low. One thread writes, several entries in one transaction, so that many requests at once wait for one
writing of the disk.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from runner.database import Database, Statement
from runner.errors import HostError
from runner.gateway.booking import prices
from runner.gateway.booking.books import Amount, Book, Books, books_of, caps_of
from runner.gateway.booking.reckoning import reckoned
from runner.gateway.grants import Account, Tokens
from runner.tasks.plan import Caps, Price, Spent

FILE = "ledger.db"
MOST_AT_ONCE = 256
"""Entries in one transaction."""

_SCHEMA = """
    CREATE TABLE requests (
        id INTEGER PRIMARY KEY, at REAL, day TEXT, run TEXT, task TEXT, profile TEXT, attempt TEXT,
        scripted INTEGER, dialect TEXT, model TEXT, state TEXT,
        input INTEGER, output INTEGER, cache_read INTEGER, cache_write INTEGER, usd REAL
    );
    CREATE INDEX of_run ON requests (run);
    CREATE INDEX of_day ON requests (day)
"""
"""`state` is `open` (its figures are an upper bound), `settled`, `doubt` (open when a process died, or an
answer that broke off or told no usage: its figures are what it can have been at most), or `absorbed` (it
came to nothing and was asked again: it counts nowhere)."""

_REASONING = "ALTER TABLE requests ADD COLUMN reasoning INTEGER DEFAULT 0"
"""A part of `output`, and 0 where the service does not tell it."""

MIGRATIONS = (_SCHEMA, _REASONING)

_RESERVE = "INSERT INTO requests VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'open', ?, ?, 0, 0, ?, 0)"
_SETTLE = (
    "UPDATE requests SET state = ?, model = ?, input = ?, output = ?, cache_read = ?, cache_write = ?,"
    " usd = ?, reasoning = ? WHERE id = ?"
)
_SUM = (
    "SELECT total(coalesce(usd, 0)), sum(input + output + cache_read + cache_write), count(*),"
    " sum(usd IS NULL) FROM requests WHERE state != 'absorbed' AND "
)
_WHERE = {
    "attempt": "run = ? AND attempt = ?",
    "task": "run = ? AND task = ?",
    "profile": "run = ? AND profile = ?",
    "run": "run = ?",
    "day": "day = ? AND NOT scripted",
}


class OverBudgetError(Exception):
    """A cap is spent: `kind` says whose, the message what."""

    def __init__(self, kind: Spent, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class BusyError(Exception):
    """It has to wait for other requests of the same budget, and was not to."""


class UnpricedError(Exception):
    """Money is capped, and nobody knows what the model that is asked costs."""


@dataclass(frozen=True)
class Asked:
    """What is known of a request before it is sent: whom it asks, and what it can use at most."""

    dialect: str
    model: str
    most: Tokens
    terms: prices.Terms = ()
    """What it asks for that has a price of its own."""
    answers: int = 1
    """How many answers at once."""


@dataclass
class Entry:
    """One request in the books. Unless it is settled, it counts with its upper bound."""

    asked: Asked
    number: int
    most: Amount
    """What it costs at most."""
    own: Mapping[str, Price] = field(default_factory=dict)
    """The user's own prices."""
    in_money: bool = False
    """Whether a cap in money applies to it."""
    model: str | None = None
    used: Tokens | None = None
    usd: float | None = None
    state: str = "doubt"
    began: float = field(default_factory=time.monotonic)

    def settle(self, tokens: Tokens, model: str | None) -> None:
        """It used these tokens, of the model that the answer names.

        Where money is capped, an answer of a model without a price costs what it could have cost at most.
        """
        self.used, self.model, self.state = tokens, model or self.asked.model, "settled"
        self.usd = prices.usd(self.asked.dialect, self.model, tokens, self.own, self.asked.terms)
        if self.usd is None and self.in_money:
            self.usd = self.most.usd

    def cut(self, told: Tokens, model: str | None, produced: int) -> None:
        """Its answer broke off, or told no usage: so much was told, and so many bytes came, until now."""
        seconds = time.monotonic() - self.began
        self.settle(reckoned(self.asked.most, told, produced, seconds * self.asked.answers), model)
        self.state = "doubt"

    def nothing(self) -> None:
        """It was not answered as a model answers, and is not paid for."""
        self.used, self.model, self.usd, self.state = Tokens(), self.asked.model, 0.0, "settled"

    def absorbed(self) -> None:
        """It came to nothing and is asked again, in an entry of its own: it stays in the table, uncounted."""
        self.nothing()
        self.state = "absorbed"

    @property
    def cost(self) -> Amount:
        """What it costs, as far as is known."""
        if self.used is None:
            return self.most
        return Amount() if self.state == "absorbed" else _amount(self.used, self.usd)


@dataclass
class _Pending:
    """A statement for the writer, and who waits until it is on the disk."""

    statement: Statement
    done: asyncio.Future[None] | None = None


@dataclass
class Ledger:
    """All requests of one state directory, for one process. Close it."""

    file: Path
    books: Books = field(default_factory=Books)

    def __post_init__(self) -> None:
        self._database = Database(self.file, MIGRATIONS, "ledger")
        self._database.write("UPDATE requests SET state = 'doubt' WHERE state = 'open'")
        ((last,),) = self._database.rows("SELECT coalesce(max(id), 0) FROM requests")
        self._last = int(last or 0)
        self._known: set[Book] = set()
        self._changed = asyncio.Event()
        self._pending: queue.SimpleQueue[_Pending | None] = queue.SimpleQueue()
        self._late: list[Statement] = []  # settlements that could not be written: the disk was full
        self._writer = threading.Thread(target=self._write, name="ledger", daemon=True)
        self._writer.start()

    def close(self) -> None:
        """Write what is pending, and give the file back."""
        self._pending.put(None)
        self._writer.join()
        self._write_late()
        self._database.close()

    @asynccontextmanager
    async def entry(self, account: Account, asked: Asked, *, waits: bool = True) -> AsyncIterator[Entry]:
        """Enter a request, from before it is sent until its answer has ended.

        Raises:
            BusyError: It has to wait for others of the same budget, and `waits` is not set; see `room`.
            OverBudgetError: A cap of the account is spent.
            UnpricedError: A cap of the account is in money, and the model has no known price.
            HostError: It can't be written down, so it may not be sent.
        """
        day, most = time.strftime("%Y-%m-%d"), _most(asked, account.prices)
        in_money = any(caps.usd is not None for caps in caps_of(account, day).values())
        if in_money and most.unpriced:
            raise UnpricedError(_unpriced(asked.model))
        await self._admitted(account, day, most, waits=waits)
        self.books.reserve(account, day, most)  # nothing else runs between the last look and this
        self._last += 1
        entry = Entry(asked, self._last, most, account.prices, in_money)
        try:
            try:
                await self._written(_reserving(entry, account, day))
            except BaseException:
                entry.nothing()  # it was not sent
                raise
            yield entry
        finally:
            self.books.settle(account, day, most, entry.cost)
            self._pending.put(_Pending(_settling(entry)))
            self._changed.set()
            self._changed = asyncio.Event()

    def spent(self, account: Account) -> dict[Spent, Amount]:
        """What was spent in each of an account's books until now."""
        books = books_of(account, time.strftime("%Y-%m-%d"))
        self._load(books.values())
        return {kind: self.books.spent[book] for kind, book in books.items()}

    def overshot(self, account: Account) -> dict[Spent, Caps]:
        """By how much each cap of an account that was overshot was, until now."""
        spent, caps = self.spent(account), account.budget.caps()
        over = {kind: amount.over(caps[kind]) for kind, amount in spent.items() if kind in caps}
        return {kind: more for kind, more in over.items() if more != Caps()}

    async def room(self, account: Account, asked: Asked) -> None:
        """Wait until a request could be entered.

        Raises:
            OverBudgetError: A cap of the account is spent.
        """
        await self._admitted(account, time.strftime("%Y-%m-%d"), _most(asked, account.prices), waits=True)

    async def _admitted(self, account: Account, day: str, most: Amount, *, waits: bool) -> None:
        self._load(books_of(account, day).values())
        while True:
            kind = self.books.refusal(account, day)
            if kind is not None:
                raise OverBudgetError(kind, f"the budget of this {kind} is spent")
            if not self.books.must_wait(account, day, most):
                return
            if not waits:
                raise BusyError
            await self._changed.wait()

    def _load(self, books: Iterable[Book]) -> None:
        """Sum up what earlier processes wrote."""
        for book in books:
            if book not in self._known:
                self._known.add(book)
                ((usd, tokens, requests, unpriced),) = self._database.rows(_SUM + _WHERE[book[0]], book[1:])
                before = Amount(float(usd or 0), int(tokens or 0), int(requests or 0), int(unpriced or 0))
                self.books.spent[book] = self.books.spent[book] + before

    async def _written(self, statement: Statement) -> None:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pending.put(_Pending(statement, done))
        await asyncio.shield(done)

    def _write(self) -> None:
        while (first := self._pending.get()) is not None:
            batch, last = [first], False
            while len(batch) < MOST_AT_ONCE and not self._pending.empty():
                more = self._pending.get()
                if more is None:
                    last = True
                    break
                batch.append(more)
            self._write_all(batch)
            if last:
                return

    def _write_late(self) -> None:
        """Write what could not be written before; until it is, its requests stay open, at their bound."""
        with suppress(HostError):
            self._database.write_all(self._late)
            self._late.clear()

    def _write_all(self, batch: list[_Pending]) -> None:
        fault: HostError | None = None
        try:
            self._database.write_all([pending.statement for pending in batch])
        except HostError as error:
            fault = error
            self._late += [pending.statement for pending in batch if pending.done is None]
        else:
            self._write_late()
        for done in (pending.done for pending in batch):
            if done is not None:
                done.get_loop().call_soon_threadsafe(_resolve, done, fault)


def _resolve(done: asyncio.Future[None], fault: HostError | None) -> None:
    if done.cancelled():
        return
    if fault is None:
        done.set_result(None)
    else:
        done.set_exception(fault)


def _most(asked: Asked, own: Mapping[str, Price]) -> Amount:
    return _amount(asked.most, prices.most_usd(asked.dialect, asked.model, asked.most, own, asked.terms))


def _amount(tokens: Tokens, usd: float | None) -> Amount:
    every = tokens.input + tokens.output + tokens.cache_read + tokens.cache_write
    return Amount(usd or 0.0, every, 1, int(usd is None))


def _unpriced(model: str) -> str:
    named = f"the price of the model {model!r} is not known" if model else "the request names no model"
    return (
        f"{named}, so the budget in dollars can't hold for it: use a model whose price is known, "
        "say its price under `prices:` in the task file, or have the budget cap tokens instead"
    )


def _reserving(entry: Entry, account: Account, day: str) -> Statement:
    asked, most = entry.asked, entry.most
    whose = (account.run, account.task, account.profile, account.attempt, int(account.scripted))
    figures = (asked.most.input, asked.most.output, _dollars(most))
    return _RESERVE, (entry.number, time.time(), day, *whose, asked.dialect, asked.model, *figures)


def _settling(entry: Entry) -> Statement:
    used, asked = entry.used, entry.asked
    if used is None:
        bound = (asked.most.input, asked.most.output, 0, 0, _dollars(entry.most))
        return _SETTLE, ("doubt", asked.model, *bound, 0, entry.number)
    figures = (used.input, used.output, used.cache_read, used.cache_write, entry.usd)
    return _SETTLE, (entry.state, entry.model, *figures, used.reasoning, entry.number)


def _dollars(amount: Amount) -> float | None:
    return None if amount.unpriced else amount.usd
