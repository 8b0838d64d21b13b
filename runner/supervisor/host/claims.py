"""What each run on a state directory shows the others of itself: what lives of it, and whether it waits.

One small file for each run below `claims/`, written over every few seconds. It need not survive a restart of
the host, and does not: what it says counts as long as it is fresh, or somebody works on its run. Who means to
start something holds the lock meanwhile, so that two runs never give away the same room.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from runner.locks import try_locked
from runner.supervisor.host.admission import Claim, Waiting
from runner.supervisor.ownership.lease import is_over
from runner.tasks.plan import Value

EVERY = 3.0
"""Seconds between two writings."""
FRESH = 15.0
"""Seconds for which what a run says counts, whether it can be asked or not."""
STILL_WAITS = 15.0
"""Seconds for which a run counts as waiting that said so: one that hangs keeps nobody from anything."""
PATIENCE = 1.0
"""Seconds that another run may take with the lock before this one looks again later."""


class Shown(Value):
    """What one run shows of itself; moments are seconds of a clock that all processes of this host share.

    It stands still while the host sleeps.
    """

    run: str
    at: float
    claims: tuple[Claim, ...] = ()
    waits_since: float | None = None
    """Since when something of it waits for the host; None if nothing does."""


@dataclass(frozen=True)
class Others:
    """What the other runs have, and which of them wait."""

    claims: tuple[Claim, ...] = ()
    waiting: tuple[Waiting, ...] = field(default=())


@contextmanager
def alone(home: Path) -> Iterator[bool]:
    """Keep other runs from starting anything meanwhile; yields whether that could be had."""
    with ExitStack() as stack:
        ours = False
        with contextlib.suppress(OSError):  # a disk without room for a lock's file has none for an attempt
            ours = stack.enter_context(try_locked(home / "locks" / "claims.lock", patience=PATIENCE))
        yield ours


def show(home: Path, shown: Shown) -> bool:
    """Show this of a run from now on; whether that could be written."""
    file = _file(home, shown.run)
    part = file.with_suffix(".part")
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        part.write_text(shown.model_dump_json(), encoding="utf-8")
        part.replace(file)
    except OSError:
        return False
    return True


def clear(home: Path, run: str) -> None:
    """Show nothing any more."""
    for file in (_file(home, run), _file(home, run).with_suffix(".part")):
        with contextlib.suppress(OSError):
            file.unlink(missing_ok=True)


def read(home: Path, run: str, now: float) -> Others:
    """What the runs other than this one show."""
    shown = [one for one in _all(home) if one.run != run and _lives(home, one, now)]
    waiting = (
        Waiting(one.run, one.waits_since, one.claims)
        for one in shown
        if one.waits_since is not None and 0 <= now - one.at <= STILL_WAITS
    )
    return Others(tuple(claim for one in shown for claim in one.claims), tuple(waiting))


def _all(home: Path) -> Iterator[Shown]:
    for file in sorted((home / "claims").glob("*.json")):
        with contextlib.suppress(OSError, ValidationError):  # gone just now, or of another version of Corral
            yield Shown.model_validate_json(file.read_text(encoding="utf-8"))


def _lives(home: Path, shown: Shown, now: float) -> bool:
    """Whether a run that shows this still has it; what one shows on which nobody works any more is removed.

    What is of the future was written before this host was restarted.
    """
    if 0 <= now - shown.at <= FRESH:
        return True
    if is_over(home, shown.run):
        clear(home, shown.run)
        return False
    return shown.at <= now


def _file(home: Path, run: str) -> Path:
    return home / "claims" / f"{run}.json"
