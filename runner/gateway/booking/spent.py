"""What the requests of a run cost, one after the other, for whoever only looks at the books."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from runner.database import Database
from runner.gateway.booking.ledger import FILE, MIGRATIONS
from runner.gateway.places import own_folder

_QUERY = (
    "SELECT at, usd, input + output + cache_read + cache_write FROM requests"
    " WHERE run = ? AND state != 'absorbed' ORDER BY at"
)


@dataclass(frozen=True)
class Spent:
    """What one request cost: when it was sent, US dollars (None where no price is known), and tokens."""

    at: float
    usd: float | None
    tokens: int


def spent_by(home: Path, run: str) -> tuple[Spent, ...]:
    """The requests of a run in order; none where there are no books.

    Raises:
        HostError: The books can't be read.
    """
    file = own_folder(home) / FILE
    if not file.exists():
        return ()
    database = Database(file, MIGRATIONS, "ledger")
    try:
        rows = database.rows(_QUERY, (run,))
    finally:
        database.close()
    return tuple(
        Spent(float(at or 0.0), None if usd is None else float(usd), int(tokens or 0))
        for at, usd, tokens in rows
    )
