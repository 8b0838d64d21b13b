"""Who works on a run: one process, which says every half minute that it lives.

A lease is a number that only grows. Whoever holds the highest may write of the run; what one writes who was
taken for dead, and was not, is refused (`Journal.append`): a fencing token. A process that died is known at
once, by a lock that the kernel frees; one that hangs, by its silence. While the machine sleeps nobody can
say anything, and nobody is silent.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from runner import names
from runner.errors import HostError
from runner.locks import is_held, try_locked
from runner.supervisor.deadline import awake, steady
from runner.supervisor.journal import Journal, LeaseRow
from runner.supervisor.slept import boot

BEAT = 30.0
"""Seconds between two signs of life."""

DEAD_AFTER = 120.0
"""Seconds of silence after which a process is taken for dead, though it still has its lock."""


class OwnedError(HostError):
    """Another process works on the run."""


class Lease:
    """The right to work on a run, as long as `holds` says so."""

    def __init__(self, journal: Journal, run: str, token: int) -> None:
        self.token = token
        self._journal = journal
        self._run = run
        self._lock = threading.Lock()
        self._beaten = awake()
        self._lost = False

    def holds(self) -> bool:
        """Whether the run is still ours: to be asked before anything is done that the journal does not gate.

        Nobody takes over from one who was heard of lately, so the journal is asked after a silence only.
        """
        if not self._lost and awake() - self._beaten > DEAD_AFTER / 2:
            self.beat()
        return not self._lost

    def beat(self) -> None:
        """Say that we live. Where that can't be written just now it is tried again with the next beat."""
        with self._lock, contextlib.suppress(HostError):
            now = awake()
            self._lost = not self._journal.beat(self._run, self.token, boot(), now)
            self._beaten = now


@contextmanager
def owned(journal: Journal, home: Path, run: str, *, beat: float = BEAT) -> Iterator[Lease]:
    """Be the one who works on a run, and say so until the end.

    Args:
        journal: The journal.
        home: The state directory.
        run: The run.
        beat: Seconds between two signs of life.

    Raises:
        OwnedError: Another process works on it.
        HostError: The journal can't be written.
    """
    with ExitStack() as stack:

        def take(before: LeaseRow | None) -> int | None:
            if before is not None and _lives(home, run, before):
                return None
            token = 1 if before is None else before.token + 1
            stack.enter_context(try_locked(_file(home, run, token)))
            return token

        token = journal.claim(run, boot(), awake(), take)
        if token is None:
            raise OwnedError(f"another process is working on the run {run}", cure=f"corral status {run}")
        ours = _file(home, run, token)
        stack.callback(ours.unlink, missing_ok=True)
        for file in ours.parent.glob("lock-*"):
            if file != ours:  # of one that was killed
                file.unlink(missing_ok=True)
        lease, done = Lease(journal, run, token), threading.Event()

        def live() -> None:
            while not done.wait(beat):
                lease.beat()

        thread = threading.Thread(target=live, name="lease", daemon=True)
        thread.start()
        try:
            yield lease
        finally:
            done.set()
            thread.join()


def is_over(home: Path, run: str) -> bool:
    """Whether no living process works on a run. Whoever asks changes nothing."""
    file = home / "journal.db"
    if not names.is_id(run) or not file.exists():
        return True
    with Journal(file) as journal:
        row = journal.lease(run)
    return row is None or not _lives(home, run, row)


def hangs(home: Path, run: str) -> bool:
    """Whether the process that has a run's lease is there; of one that counts as dead, that it hangs."""
    with Journal(home / "journal.db") as journal:
        row = journal.lease(run)
    return row is not None and row.boot == boot() and is_held(_file(home, run, row.token))


def _lives(home: Path, run: str, row: LeaseRow) -> bool:
    there = row.boot == boot() and _silence(row) <= DEAD_AFTER
    return there and is_held(_file(home, run, row.token), patience=0)


def _silence(row: LeaseRow) -> float:
    """For how many seconds nothing was heard of a process, the machine's sleep left out.

    A beat that seems to lie ahead is of an earlier version of Corral, by whose clock sleep counts.
    """
    now = awake()
    return (steady() if row.beat > now else now) - row.beat


def _file(home: Path, run: str, token: int) -> Path:
    return home / "runs" / run / f"lock-{token}"
