"""Which windows are used up, kept in a file: not even a gateway that was killed sends anything into one."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from runner.database import Database, Value
from runner.errors import HostError
from runner.gateway.grants import DialectName, Service

log = logging.getLogger(__name__)

FILE = "windows.db"

MOST = 1024
"""Windows kept; those of hosts without number, or families that a box invents, push out the oldest."""

_SCHEMA = """
    CREATE TABLE closed (
        dialect TEXT, base_url TEXT, account TEXT, subscription INTEGER, family TEXT, name TEXT, until REAL,
        PRIMARY KEY (dialect, base_url, account, subscription, family)
    )
"""
_CLOSE = "INSERT OR REPLACE INTO closed VALUES (?, ?, ?, ?, ?, ?, ?)"
_FORGET = "DELETE FROM closed WHERE until <= ?"


class Whose(NamedTuple):
    """Whose limit it is: one account of one service. Its key may change; the account is the same."""

    dialect: DialectName
    base_url: str
    account: str
    subscription: bool

    @classmethod
    def of(cls, service: Service) -> Whose:
        """Whose limits count for what is asked of a service."""
        return cls(service.dialect, service.base_url, service.account, service.oauth)

    def __str__(self) -> str:
        return self.dialect if self.account == "default" else f"{self.dialect}, account {self.account}"


@dataclass(frozen=True)
class Closed:
    """A window that is used up, by name, and when it opens again, in seconds since the epoch."""

    name: str
    until: float


class Windows:
    """The windows that are used up; with a file they outlive the process. Close it."""

    def __init__(self, file: Path | None = None) -> None:
        """Read what earlier processes noted.

        Raises:
            HostError: The file can't be read.
        """
        self._closed: dict[tuple[Whose, str], Closed] = {}
        self._database = None if file is None else Database(file, (_SCHEMA,), "file of used-up windows")
        if self._database is not None:
            for row in self._database.rows("SELECT * FROM closed"):
                self._note(row)

    def close(self) -> None:
        """Give the file back."""
        if self._database is not None:
            self._database.close()

    def find(self, whose: Whose, family: str, now: float) -> Closed | None:
        """Which window is used up for a family of models, if one is: the one that opens last."""
        both = (self._closed.get((whose, ""), None), self._closed.get((whose, family), None))
        return max((one for one in both if one and one.until > now), key=lambda one: one.until, default=None)

    def shut(self, whose: Whose, family: str, closed: Closed, now: float) -> None:
        """Note, durably, that a window is used up; `family` is empty for every model of the account."""
        before = self._closed.get((whose, family))
        if before == closed or (before and before.name != closed.name and before.until > closed.until):
            return
        self._closed[whose, family] = closed
        log.info(
            "%s: the %s window of %s is used up until %.0f", whose, closed.name, family or "all", closed.until
        )
        for old in [key for key, one in self._closed.items() if one.until <= now]:
            del self._closed[old]
        while len(self._closed) > MOST:
            del self._closed[next(iter(self._closed))]
        if self._database is not None:
            try:
                # At once, in this thread: it is rare, and nothing may be sent before it is kept.
                key = (whose.dialect, whose.base_url, whose.account, int(whose.subscription), family)
                self._database.write_all([(_FORGET, (now,)), (_CLOSE, (*key, closed.name, closed.until))])
            except HostError as fault:
                log.warning("kept in memory alone: %s", fault.message)

    def all(self, now: float) -> list[tuple[Whose, str, Closed]]:
        """Every window that is used up, with whose it is and the family of models."""
        return [(*key, one) for key, one in self._closed.items() if one.until > now]

    def _note(self, row: Sequence[Value]) -> None:
        dialect, base_url, account, subscription, family, name, until = row
        whose = Whose(str(dialect), str(base_url), str(account), bool(subscription))  # type: ignore[arg-type]
        self._closed[whose, str(family)] = Closed(str(name), float(until or 0))
