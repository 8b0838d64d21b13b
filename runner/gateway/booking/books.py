"""What was spent, in whose name, and whether more may be: pure values and one pure decision.

A request is entered in several books at once: its attempt's, its task's, its profile's, its run's and the
day's. Before it is sent, an upper bound of what it can cost is reserved; afterwards what it did cost takes
its place. While a book with a cap has anything left, one request at a time may go, whatever it may cost: so a
cap is overshot by what one request costs at most. Others go beside it as far as all bounds fit into the cap.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from runner.gateway.grants import Account
from runner.tasks.plan import Caps, Spent

Book = tuple[str, ...]
"""What is summed: `("run", RUN)`, `("attempt", RUN, ATTEMPT)`, `("day", DATE)` and the like."""


@dataclass(frozen=True)
class Amount:
    """What was, or may be, spent; `unpriced` requests are of unknown cost, which `usd` leaves out."""

    usd: float = 0.0
    tokens: int = 0
    requests: int = 0
    unpriced: int = 0

    def __add__(self, other: Amount) -> Amount:
        return Amount(
            self.usd + other.usd,
            self.tokens + other.tokens,
            self.requests + other.requests,
            self.unpriced + other.unpriced,
        )

    def __sub__(self, other: Amount) -> Amount:
        return self + Amount(-other.usd, -other.tokens, -other.requests, -other.unpriced)

    def reaches(self, caps: Caps) -> bool:
        """Whether nothing is left of at least one cap."""
        return any(cap is not None and spent >= cap for spent, cap in self._beside(caps))

    def exceeds(self, caps: Caps) -> bool:
        """Whether it is more than at least one cap."""
        return any(cap is not None and spent > cap for spent, cap in self._beside(caps))

    def over(self, caps: Caps) -> Caps:
        """By how much it is more than each cap; None where it is not."""
        more = [None if cap is None or spent <= cap else spent - cap for spent, cap in self._beside(caps)]
        usd, tokens, requests = more
        return Caps(usd=usd, tokens=_whole(tokens), requests=_whole(requests))

    def _beside(self, caps: Caps) -> Iterator[tuple[float, float | None]]:
        yield self.usd, caps.usd
        yield self.tokens, caps.tokens
        yield self.requests, caps.requests


def _whole(amount: float | None) -> int | None:
    return None if amount is None else int(amount)


def books_of(account: Account, day: str) -> dict[Spent, Book]:
    """The books in which an account's requests are entered on a day.

    What a script invents is no money: it is not entered in the day's book, which sums up real runs.
    """
    found: dict[Spent, Book] = {
        "attempt": ("attempt", account.run, account.attempt),
        "task": ("task", account.run, account.task),
        "profile": ("profile", account.run, account.profile),
        "run": ("run", account.run),
    }
    if not account.scripted:
        found["day"] = ("day", day)
    return found


def caps_of(account: Account, day: str) -> dict[Spent, Caps]:
    """The caps that apply to an account's requests on a day: those of the books that they are entered in."""
    books = books_of(account, day)
    return {kind: caps for kind, caps in account.budget.caps().items() if kind in books}


@dataclass
class Books:
    """The sums of all books, and what is reserved in them by requests that are on their way."""

    spent: dict[Book, Amount] = field(default_factory=lambda: defaultdict(Amount))
    reserved: dict[Book, Amount] = field(default_factory=lambda: defaultdict(Amount))

    def refusal(self, account: Account, day: str) -> Spent | None:
        """Which cap is spent, if one is."""
        books = books_of(account, day)
        for kind, caps in caps_of(account, day).items():
            if self.spent[books[kind]].reaches(caps):
                return kind
        return None

    def must_wait(self, account: Account, day: str, most: Amount) -> bool:
        """Whether a request that may cost so much has to wait for those that are on their way."""
        books = books_of(account, day)
        for kind, caps in caps_of(account, day).items():
            reserved = self.reserved[books[kind]]
            alone = reserved == Amount() or reserved.requests == 0
            if not alone and (self.spent[books[kind]] + reserved + most).exceeds(caps):
                return True
        return False

    def reserve(self, account: Account, day: str, most: Amount) -> None:
        """Enter an upper bound of what a request can cost."""
        for book in books_of(account, day).values():
            self.reserved[book] = self.reserved[book] + most

    def settle(self, account: Account, day: str, most: Amount, cost: Amount) -> None:
        """Put what a request did cost in the place of its upper bound."""
        for book in books_of(account, day).values():
            left = self.reserved[book] - most
            self.reserved[book] = Amount() if left.requests == 0 else left  # no remainders of rounding
            self.spent[book] = self.spent[book] + cost
