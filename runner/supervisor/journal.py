"""The journal: append-only events, durably. An event that was appended survives a crash of the machine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from runner.database import Database, Value
from runner.errors import HostError, UsageError
from runner.supervisor.events import ADAPTER, Event, OfAttempt
from runner.supervisor.ownership.orders import ORDER, Order

_MIGRATIONS = (
    """
    CREATE TABLE event (
        seq     INTEGER PRIMARY KEY AUTOINCREMENT,
        run     TEXT NOT NULL,
        attempt TEXT,
        kind    TEXT NOT NULL,
        at      REAL NOT NULL,
        body    TEXT NOT NULL
    );
    CREATE INDEX event_of_run ON event (run, seq);
    """,
    """
    CREATE TABLE lease (
        run   TEXT PRIMARY KEY,
        token INTEGER NOT NULL,
        boot  TEXT NOT NULL,
        beat  REAL NOT NULL
    );
    CREATE TABLE wanted (
        seq  INTEGER PRIMARY KEY AUTOINCREMENT,
        run  TEXT NOT NULL,
        at   REAL NOT NULL,
        body TEXT NOT NULL
    );
    CREATE INDEX wanted_of_run ON wanted (run, seq);
    """,
)


class LeaseLostError(HostError):
    """Another process has taken a run over: what this one says of it counts no more."""


@dataclass(frozen=True)
class LeaseRow:
    """Who works on a run: the holder of its highest token.

    `boot` names the start of the machine in which `beat` counts: seconds of a clock that only goes forward,
    and stands still while the machine sleeps.
    """

    token: int
    boot: str
    beat: float


@dataclass(frozen=True)
class Row:
    """One event of a run, in its place."""

    seq: int
    run: str
    event: Event


class Journal:
    """All runs of one state directory. Safe to use from several threads and processes."""

    def __init__(self, file: Path) -> None:
        """Open the journal, making or migrating it where needed.

        Raises:
            HostError: The file can't be opened, or was written by a newer Corral.
        """
        self._database = Database(file, _MIGRATIONS, "journal")

    def close(self) -> None:
        """Give the file back."""
        self._database.close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def append(self, run: str, event: Event, token: int | None = None) -> Row:
        """Write one event durably.

        Args:
            run: Its run.
            event: What happened.
            token: Whose word it is; None where nobody else can be at work.

        Raises:
            LeaseLostError: A later token was given out: nothing is written.
            HostError: It could not be written (a full disk, for example).
        """
        attempt = event.attempt if isinstance(event, OfAttempt) else None
        statement = "INSERT INTO event (run, attempt, kind, at, body) VALUES (?, ?, ?, ?, ?)"
        values = (run, attempt, event.kind, event.at, event.model_dump_json())
        if token is None:
            return Row(self._database.write(statement, values), run, event)
        with self._database.transaction() as do:
            if not do("SELECT 1 FROM lease WHERE run = ? AND token = ?", (run, token)):
                raise LeaseLostError(
                    f"another process took the run {run} over", cure=f"`corral status {run}` shows it"
                )
            do(statement, values)
            ((seq,),) = do("SELECT last_insert_rowid()", ())
        return Row(int(seq or 0), run, event)

    # -- who works on a run

    def lease(self, run: str) -> LeaseRow | None:
        """Who works on a run, or did; None if nobody ever has."""
        for row in self._database.rows("SELECT token, boot, beat FROM lease WHERE run = ?", (run,)):
            return _lease(row)
        return None

    def claim(
        self, run: str, boot: str, beat: float, take: Callable[[LeaseRow | None], int | None]
    ) -> int | None:
        """Become the one who works on a run.

        Args:
            run: The run.
            boot: Which start of the machine this is.
            beat: Now, by the clock of `LeaseRow.beat`.
            take: Given who had it, the new token, which must be higher; or None, and nothing is changed.

        Returns:
            The token.
        """
        with self._database.transaction() as do:
            rows = do("SELECT token, boot, beat FROM lease WHERE run = ?", (run,))
            token = take(_lease(rows[0]) if rows else None)
            if token is not None:
                do("INSERT OR REPLACE INTO lease VALUES (?, ?, ?, ?)", (run, token, boot, beat))
        return token

    def beat(self, run: str, token: int, boot: str, beat: float) -> bool:
        """Say that the holder of a token lives; whether it holds the run still."""
        with self._database.transaction() as do:
            do("UPDATE lease SET boot = ?, beat = ? WHERE run = ? AND token = ?", (boot, beat, run, token))
            return bool(do("SELECT 1 FROM lease WHERE run = ? AND token = ?", (run, token)))

    # -- orders

    def order(self, run: str, order: Order, at: float) -> int:
        """Give an order to a run, durably; returns its number."""
        statement = "INSERT INTO wanted (run, at, body) VALUES (?, ?, ?)"
        return self._database.write(statement, (run, at, order.model_dump_json()))

    def orders(self, run: str, after: int) -> Iterator[tuple[int, Order]]:
        """The orders given to a run in order, from behind a number."""
        query = "SELECT seq, body FROM wanted WHERE run = ? AND seq > ? ORDER BY seq"
        for seq, body in self._database.rows(query, (run, after)):
            yield int(seq or 0), ORDER.validate_json(str(body))

    # -- reading

    def reserve(self) -> None:
        """Make sure of some room, so that what happens after the disk became full can still be told.

        Raises:
            HostError: There is no room now.
        """
        self._database.reserve()

    def events(self, run: str, after: int = 0) -> Iterator[Row]:
        """The events of a run in order, from behind a sequence number."""
        query = "SELECT seq, run, body FROM event WHERE run = ? AND seq > ? ORDER BY seq"
        for seq, name, body in self._database.rows(query, (run, after)):
            yield Row(int(seq or 0), str(name), ADAPTER.validate_json(str(body)))

    def of_kinds(self, run: str, *kinds: str) -> Iterator[Event]:
        """The events of a run of these kinds, in order; the others are not read."""
        marks = ", ".join("?" * len(kinds))
        query = f"SELECT body FROM event WHERE run = ? AND kind IN ({marks}) ORDER BY seq"  # noqa: S608
        for (body,) in self._database.rows(query, (run, *kinds)):
            yield ADAPTER.validate_json(str(body))

    def runs(self) -> list[str]:
        """The names of all runs, the latest last."""
        query = "SELECT run FROM event GROUP BY run ORDER BY min(seq)"
        return [str(name) for (name,) in self._database.rows(query)]

    def resolve(self, name: str) -> str:
        """The run that a person means: its name, a unique prefix of it, or `latest`.

        Raises:
            UsageError: No run, or more than one, fits.
        """
        runs = self.runs()
        if not runs:
            raise UsageError("there is no run yet", cure="corral run FILE")
        if name == "latest":
            return runs[-1]
        found = [run for run in runs if run == name] or [run for run in runs if run.startswith(name)]
        if len(found) == 1:
            return found[0]
        if not found:
            raise UsageError(
                f"no run is called {name!r}",
                cure=f"the latest is {runs[-1]!r}; `corral status --all` lists them",
            )
        raise UsageError(f"{name!r} could be any of {', '.join(found)}", cure="write more of its name")


def _lease(row: tuple[Value, ...]) -> LeaseRow:
    token, boot, beat = row
    return LeaseRow(int(token or 0), str(boot), float(beat or 0.0))


def by_attempt(events: Iterable[Event]) -> dict[str, tuple[Event, ...]]:
    """The events of each attempt, in their order."""
    found: dict[str, list[Event]] = {}
    for event in events:
        if isinstance(event, OfAttempt):
            found.setdefault(event.attempt, []).append(event)
    return {attempt: tuple(of_it) for attempt, of_it in found.items()}
