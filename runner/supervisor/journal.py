"""The journal: append-only events in SQLite. The only module that speaks SQL.

Write-ahead log with `synchronous=FULL`: an event that was appended survives a crash of the machine.
Schema migrations are recorded in the transaction that makes them (`user_version`).
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from runner.errors import HostError, UsageError
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


_RESERVE = 2 * 1024**2
"""Bytes: a few hundred attempts' worth of events."""

_PAGE = 4096
_FULL = "if the disk is full, make room; then `corral resume`"


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
        file.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        try:
            self._database = sqlite3.connect(file, timeout=30, check_same_thread=False, isolation_level=None)
            self._prepare()
        except sqlite3.Error as error:
            raise HostError(f"the journal {file} can't be opened: {error}") from error

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
        try:
            with self._lock, closing(self._database.cursor()) as cursor:
                cursor.execute(
                    "INSERT INTO event (run, attempt, kind, at, body) VALUES (?, ?, ?, ?, ?)",
                    (run, attempt, event.kind, event.at, event.model_dump_json()),
                )
                return Row(int(cursor.lastrowid or 0), run, event)
        except sqlite3.Error as error:
            raise HostError(f"the journal can't be written: {error}", cure=_FULL) from error

    def reserve(self) -> None:
        """Make sure of some room, so that what happens after the disk became full can still be told.

        The file gets free pages, and the write-ahead log as much space, which is then written over.

        Raises:
            HostError: There is no room now.
        """
        try:
            with self._lock, closing(self._database.cursor()) as cursor:
                cursor.execute(f"PRAGMA wal_autocheckpoint = {_RESERVE // _PAGE}")
                cursor.execute("CREATE TABLE IF NOT EXISTS reserve (room BLOB)")
                cursor.execute("INSERT INTO reserve VALUES (zeroblob(?))", (_RESERVE,))
                cursor.execute("DROP TABLE reserve")
                cursor.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        except sqlite3.Error as error:
            raise HostError(f"the journal has no room: {error}", cure=_FULL) from error

    def events(self, run: str, after: int = 0) -> Iterator[Row]:
        """The events of a run in order, from behind a sequence number."""
        query = "SELECT seq, run, body FROM event WHERE run = ? AND seq > ? ORDER BY seq"
        with self._lock, closing(self._database.execute(query, (run, after))) as rows:
            found = rows.fetchall()
        for seq, name, body in found:
            yield Row(seq, name, ADAPTER.validate_json(body))

    def runs(self) -> list[str]:
        """The names of all runs, the latest last."""
        query = "SELECT run FROM event GROUP BY run ORDER BY min(seq)"
        with self._lock, closing(self._database.execute(query)) as rows:
            return [name for (name,) in rows]

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

    def _prepare(self) -> None:
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = FULL")
        (version,) = self._database.execute("PRAGMA user_version").fetchone()
        if version > len(_MIGRATIONS):
            raise HostError(f"the journal has format {version}, which is newer", cure="upgrade Corral")
        if version < len(_MIGRATIONS):
            self._migrate()

    def _migrate(self) -> None:
        self._database.execute("BEGIN IMMEDIATE")
        try:
            (version,) = self._database.execute("PRAGMA user_version").fetchone()
            for number, migration in enumerate(_MIGRATIONS[version:], start=version + 1):
                for statement in migration.split(";"):
                    self._database.execute(statement)
                self._database.execute(f"PRAGMA user_version = {number}")
        except BaseException:
            self._database.execute("ROLLBACK")
            raise
        self._database.execute("COMMIT")
