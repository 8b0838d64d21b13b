"""Runs that nobody watches: how the supervisor of one is started, and followed from other processes."""

from __future__ import annotations

import getpass
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import runner
from runner.errors import HostError
from runner.settings import Settings
from runner.supervisor import events as e
from runner.supervisor import signboard
from runner.supervisor.attempt import hidden
from runner.supervisor.host import units
from runner.supervisor.journal import Journal, Row
from runner.supervisor.means import make_home
from runner.supervisor.night import enter
from runner.supervisor.ownership import keeper
from runner.supervisor.ownership.lease import owned
from runner.supervisor.ownership.presence import presence
from runner.supervisor.records import journal
from runner.supervisor.state import RunState, apply, begin

LOOK = 0.5
"""Seconds between two looks at a run."""

SOON = 3.0
"""Seconds after which it is said that a run does not begin at once."""

MOST_TOLD = 2000
"""Characters at the end of what a supervisor printed that are told when it could not begin."""

PROGRAM = (sys.executable, "-P", "-m", "runner")
"""The command, as a supervisor is started with it."""

Lives = Callable[[], bool]
"""Whether what keeps a supervisor alive (`runner.supervisor.ownership.keeper`) still runs."""


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
        UsageError: Files that only checks are to see were changed since the run was planned.
        HostError: The journal can't be written.
    """
    make_home(settings.home)
    run = started.plan.run
    with journal(settings) as book, owned(book, settings.home, run) as lease:
        hidden.keep(started.plan, settings.home)
        enter(book, lease, started)


@contextmanager
def beginning(home: Path, run: str) -> Iterator[None]:
    """Say, until its keeper does, that a run that nobody works on yet is about to be taken up."""
    make_home(home)
    with keeper.keeping(keeper.file_of(home, run)):
        yield


def start(home: Path, run: str, options: Sequence[str], start_in: Start) -> Lives:
    """Start a supervisor for a run that stands in the journal, without a terminal, and what keeps it alive.

    Args:
        home: The state directory.
        run: The run.
        options: Of `corral resume`.
        start_in: Under what it is started.

    Returns:
        Whether that runs still, whenever it is asked.

    Raises:
        HostError: It can't be started.
    """
    log = log_file(home, run)
    log.parent.mkdir(parents=True, exist_ok=True)
    package = Path(runner.__file__).parent.parent
    environment = {**start_in.environment, "CORRAL_HOME": str(home), "PYTHONPATH": str(package)}
    keeps = [sys.executable, "-P", "-m", keeper.__name__, str(log), *PROGRAM, "resume", run, *options]
    if start_in.manager is not None:
        name = units.unit_name(home, run)
        start_in.manager.start(name, units.unit(run, keeps, log, environment))
        return partial(start_in.manager.lives, name)
    try:
        with log.open("ab") as output:
            process = subprocess.Popen(
                keeps,
                cwd="/",
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
    except OSError as error:
        raise HostError(f"no supervisor can be started: {error.strerror}") from error
    return lambda: process.poll() is None


def forget(home: Path, run: str, environment: Mapping[str, str]) -> None:
    """A run has come to its end: systemd, if it was started there, does not start it again."""
    manager = units.manager(Path.home(), environment)
    if manager is not None:
        manager.forget(units.unit_name(home, run))


def wait_until_taken_up(home: Path, run: str, lives: Lives, tell: Callable[[str], None]) -> None:
    """Wait until a supervisor has begun with a run: all that it rests on is there, and the promises hold.

    That may take as long as an image takes to build.

    Args:
        home: The state directory.
        run: The run.
        lives: Whether what keeps its supervisor alive still runs.
        tell: Called with what the supervisor prints, if it does not begin at once.

    Raises:
        HostError: It could not begin; the message holds the last that it said.
    """
    soon, log, told = time.monotonic() + SOON, log_file(home, run), 0
    with Journal(home / "journal.db") as book:
        while True:
            lived = lives()  # asked before the journal: what it wrote last stands there
            if next(book.of_kinds(run, "run.resumed"), None) is not None:
                return
            if not lived:
                last = _said(log).strip()[-MOST_TOLD:]
                words = f"the supervisor of the run {run} could not begin\n{last}".rstrip()
                raise HostError(words, cure=f"`corral resume {run}` when that is mended")
            if time.monotonic() > soon:
                lines = _said(log).split("\n")[:-1]
                for line in lines[told:]:
                    tell(line)
                told = len(lines)
            time.sleep(LOOK / 2)


def follow(home: Path, run: str, every: float = LOOK) -> Iterator[tuple[Row, RunState]]:
    """Each event of a run, from its first to its last, as it happens; signs of life in between.

    A run whose supervisor died and is started again by itself goes on.

    Raises:
        NobodyWorksError: Nobody works on it any more, nor will by itself, and it has not ended.
    """
    state: RunState | None = None
    seq, shown = 0, dict[str, e.Signs]()
    with Journal(home / "journal.db") as journal:
        while True:
            there = presence(home, run)  # looked at before the events: what came last is among them
            for row in journal.events(run, seq):
                state = begin(run, row.event) if state is None else apply(state, row.event)
                seq = row.seq
                yield row, state
            if state is not None and there != "works":
                if state.ended is not None:
                    return
                if there == "nobody":
                    cure = f"`corral resume {run}` goes on with it"
                    raise NobodyWorksError(f"nobody works on the run {run}", cure=cure)
            for sign in signboard.read(home, run) if state is not None else ():
                if shown.get(sign.attempt) != sign and state is not None:
                    shown[sign.attempt] = sign
                    yield Row(0, run, sign), state
            time.sleep(every)


def _said(log: Path) -> str:
    with suppress(OSError):
        return log.read_text(encoding="utf-8", errors="replace")
    return ""
