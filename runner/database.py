"""SQLite, durably: the only module that speaks to it. What is kept, and in which tables, its users say.

Write-ahead log with `synchronous=FULL`: what was written survives a crash of the machine. Schema migrations
are recorded in the transaction that makes them (`user_version`).
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from runner.errors import HostError

Value = str | int | float | None
Statement = tuple[str, Sequence[Value]]
"""SQL with its values."""
Do = Callable[[str, Sequence[Value]], list[tuple[Value, ...]]]
"""Does one statement; returns the rows that it finds."""

_RESERVE = 2 * 1024**2
"""Bytes: a few hundred attempts' worth of events."""

_PAGE = 4096
_DAMAGED = "if it is damaged, move it out of the way: a new one is begun, which knows nothing of what it held"
_FULL = "if the disk is full, make room; then `corral resume`"


class Database:
    """One file of tables. Safe to use from several threads, and by several processes."""

    def __init__(self, file: Path, migrations: Sequence[str], name: str) -> None:
        """Open the file, making or migrating it where needed.

        Args:
            file: Where it lies.
            migrations: What leads from each format to the next one: statements, with semicolons between.
            name: What it is called in errors.

        Raises:
            HostError: The file can't be opened, or was written by a newer Corral.
        """
        file.parent.mkdir(parents=True, exist_ok=True)
        self._name = name
        self._migrations = migrations
        self._lock = threading.Lock()
        try:
            self._connection = sqlite3.connect(
                file, timeout=30, check_same_thread=False, isolation_level=None
            )
            self._prepare()
        except sqlite3.Error as error:
            raise HostError(f"the {name} {file} can't be opened: {error}", cure=_DAMAGED) from error

    def close(self) -> None:
        """Give the file back."""
        self._connection.close()

    def write(self, statement: str, values: Sequence[Value] = ()) -> int:
        """Do this durably; returns the id of the row that was added, if one was.

        Raises:
            HostError: It could not be written (a full disk, for example).
        """
        try:
            with self._lock, closing(self._connection.execute(statement, values)) as cursor:
                return cursor.lastrowid or 0
        except sqlite3.Error as error:
            raise HostError(f"the {self._name} can't be written: {error}", cure=_FULL) from error

    def write_all(self, statements: Sequence[Statement]) -> None:
        """Do these durably, all of them or none.

        Raises:
            HostError: They could not be written.
        """
        with self.transaction() as do:
            for statement, values in statements:
                do(statement, values)

    @contextmanager
    def transaction(self) -> Iterator[Do]:
        """Read and write as one step, which no other process comes between; nothing of it if it fails.

        Raises:
            HostError: It could not be done.
        """
        try:
            with self._lock, closing(self._connection.cursor()) as cursor:
                cursor.execute("BEGIN IMMEDIATE")
                try:
                    yield lambda statement, values: cursor.execute(statement, values).fetchall()
                except BaseException:
                    cursor.execute("ROLLBACK")
                    raise
                cursor.execute("COMMIT")
        except sqlite3.Error as error:
            raise HostError(f"the {self._name} can't be written: {error}", cure=_FULL) from error

    def rows(self, query: str, values: Sequence[Value] = ()) -> list[tuple[Value, ...]]:
        """All rows that a query finds.

        Raises:
            HostError: The file can't be read (it is damaged, for example).
        """
        try:
            with self._lock, closing(self._connection.execute(query, values)) as found:
                return found.fetchall()
        except sqlite3.Error as error:
            raise HostError(f"the {self._name} can't be read: {error}", cure=_DAMAGED) from error

    def reserve(self) -> None:
        """Make sure of some room, so that what happens after the disk became full can still be told.

        The file gets free pages, and the write-ahead log as much space, which is then written over.

        Raises:
            HostError: There is no room now.
        """
        try:
            with self._lock, closing(self._connection.cursor()) as cursor:
                cursor.execute(f"PRAGMA wal_autocheckpoint = {_RESERVE // _PAGE}")
                cursor.execute("CREATE TABLE IF NOT EXISTS reserve (room BLOB)")
                cursor.execute("INSERT INTO reserve VALUES (zeroblob(?))", (_RESERVE,))
                cursor.execute("DELETE FROM reserve")  # the table stays: another process may be at this too
                cursor.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        except sqlite3.Error as error:
            full = error.sqlite_errorname == "SQLITE_FULL"
            what = "has no room" if full else "can't be written"
            raise HostError(f"the {self._name} {what}: {error}", cure=_FULL) from error

    def _prepare(self) -> None:
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        if version > len(self._migrations):
            raise HostError(f"the {self._name} has format {version}, which is newer", cure="upgrade Corral")
        if version < len(self._migrations):
            self._migrate()

    def _migrate(self) -> None:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            (version,) = self._connection.execute("PRAGMA user_version").fetchone()
            for number, migration in enumerate(self._migrations[version:], start=version + 1):
                for statement in migration.split(";"):
                    self._connection.execute(statement)
                self._connection.execute(f"PRAGMA user_version = {number}")
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")
