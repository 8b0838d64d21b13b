"""Runs that nobody watches: how the supervisor of one is started, and followed from other processes."""

from __future__ import annotations

import getpass
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import runner
from runner.errors import HostError
from runner.settings import Settings
from runner.supervisor import events as e
from runner.supervisor import signboard
from runner.supervisor.host import units
from runner.supervisor.journal import Journal, Row
from runner.supervisor.lease import is_over, owned
from runner.supervisor.means import make_home
from runner.supervisor.night import enter
from runner.supervisor.records import journal
from runner.supervisor.state import RunState, apply, begin

LOOK = 0.5
"""Seconds between two looks at a run."""

STARTS_WITHIN = 60.0
"""Seconds in which a supervisor that was started takes its run up, or is taken for one that failed."""


Keeper = subprocess.Popen[bytes]
"""The process that keeps a supervisor alive (`runner.supervisor.keeper`)."""


@dataclass(frozen=True)
class Start:
    """Under what a supervisor is started: the user's systemd, or a keeper of ours."""

    environment: Mapping[str, str]
    manager: units.Manager | None = None
    note: str = ""
    """Why it will not come back by itself after a reboot; empty if it will."""

    @classmethod
    def best(cls, environment: Mapping[str, str], *, needs_variables: bool) -> Start:
        """The best that this host has.

        Args:
            environment: That of the process.
            needs_variables: Whether it needs a credential that stands in a variable alone: no unit holds one.
        """
        manager = units.manager(Path.home(), environment)
        if manager is None:
            return cls(environment, None, "no user's systemd answers here")
        if needs_variables:
            return cls(environment, None, "its credential stands in a variable alone, which no unit may hold")
        user = getpass.getuser()
        lingers = units.lingers(user)
        return cls(environment, manager, "" if lingers else f"`loginctl enable-linger {user}` is not set")


class NobodyWorksError(HostError):
    """A run that has not ended, and on which no process works."""


def log_file(home: Path, run: str) -> Path:
    """Where the supervisor of a detached run prints."""
    return home / "runs" / run / "supervisor.log"


def write_down(settings: Settings, started: e.RunStarted) -> None:
    """Begin a run in the journal, for a supervisor that takes it up.

    Raises:
        OwnedError: Another process has just begun one of that name.
        HostError: The journal can't be written.
    """
    make_home(settings.home)
    run = started.plan.run
    with journal(settings) as book, owned(book, settings.home, run) as lease:
        enter(book, lease, started)


def start(home: Path, run: str, options: Sequence[str], start_in: Start) -> Keeper | None:
    """Start a supervisor for a run that stands in the journal, without a terminal.

    Args:
        home: The state directory.
        run: The run.
        options: Of `corral resume`.
        start_in: Under what it is started.

    Returns:
        Its keeper; None where that is systemd.

    Raises:
        HostError: It can't be started.
    """
    log = log_file(home, run)
    log.parent.mkdir(parents=True, exist_ok=True)
    package = Path(runner.__file__).parent.parent
    environment = {**start_in.environment, "CORRAL_HOME": str(home), "PYTHONPATH": str(package)}
    supervisor = [sys.executable, "-P", "-m", "runner", "resume", run, *options]
    if start_in.manager is not None:
        text = units.unit(run, supervisor, log, environment)
        start_in.manager.start(units.unit_name(home, run), text)
        return None
    keeper = [sys.executable, "-P", "-m", "runner.supervisor.keeper", str(log), *supervisor]
    try:
        with log.open("ab") as output:
            return subprocess.Popen(
                keeper,
                cwd="/",
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
    except OSError as error:
        raise HostError(f"no supervisor can be started: {error.strerror}") from error


def forget(home: Path, run: str, environment: Mapping[str, str]) -> None:
    """A run has come to its end: systemd, if it was started there, does not start it again."""
    manager = units.manager(Path.home(), environment)
    if manager is not None:
        manager.forget(units.unit_name(home, run))


def wait_until_taken_up(home: Path, run: str, keeper: Keeper | None) -> None:
    """Wait until a process works on a run, or has done so.

    Raises:
        HostError: It ended before; the message holds the last that it said.
    """
    until = time.monotonic() + STARTS_WITHIN
    while is_over(home, run) and time.monotonic() < until:
        if keeper is not None and keeper.poll() is not None and not _ended(home, run):
            raise HostError(
                f"the supervisor of the run {run} could not begin\n{_tail(log_file(home, run))}".rstrip(),
                cure=f"`corral resume {run}` when that is mended",
            )
        time.sleep(0.1)


def follow(home: Path, run: str, every: float = LOOK) -> Iterator[tuple[Row, RunState]]:
    """Each event of a run, from its first to its last, as it happens; signs of life in between.

    Raises:
        NobodyWorksError: Nobody works on it any more, and it has not ended.
    """
    state: RunState | None = None
    seq, shown = 0, dict[str, e.Signs]()
    with Journal(home / "journal.db") as journal:
        while True:
            over = is_over(home, run)  # looked at before the events: what came last is among them
            for row in journal.events(run, seq):
                state = begin(run, row.event) if state is None else apply(state, row.event)
                seq = row.seq
                yield row, state
            if state is not None and over:
                if state.ended is None:
                    raise NobodyWorksError(
                        f"nobody works on the run {run}", cure=f"`corral resume {run}` goes on with it"
                    )
                return
            for sign in signboard.read(home, run) if state is not None else ():
                if shown.get(sign.attempt) != sign and state is not None:
                    shown[sign.attempt] = sign
                    yield Row(0, run, sign), state
            time.sleep(every)


def _ended(home: Path, run: str) -> bool:
    with Journal(home / "journal.db") as journal:
        last = [row.event for row in journal.events(run)][-1:]
    return any(isinstance(event, e.RunEnded) for event in last)


def _tail(log: Path) -> str:
    with suppress(OSError):
        return log.read_text(encoding="utf-8", errors="replace")[-2000:].strip()
    return ""
