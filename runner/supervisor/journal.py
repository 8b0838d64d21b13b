"""The journal: append-only events, durably. An event that was appended survives a crash of the machine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from runner.database import Database
from runner.errors import UsageError
from runner.supervisor.events import ADAPTER, Event, OfAttempt

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
)


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

    def append(self, run: str, event: Event) -> Row:
        """Write one event durably.

        Raises:
            HostError: It could not be written (a full disk, for example).
        """
        attempt = event.attempt if isinstance(event, OfAttempt) else None
        statement = "INSERT INTO event (run, attempt, kind, at, body) VALUES (?, ?, ?, ?, ?)"
        values = (run, attempt, event.kind, event.at, event.model_dump_json())
        return Row(self._database.write(statement, values), run, event)

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
