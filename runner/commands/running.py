"""Commands that work on a run until its end."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Annotated

import typer
from rich.console import Group
from rich.text import Text

from runner import settings as configuration
from runner.commands.words import (
    AcceptOption,
    FileArgument,
    ForOption,
    JobsOption,
    JsonOption,
    RunArgument,
    StartOption,
    UntilOption,
    err,
    out,
    print_json,
    watcher,
)
from runner.errors import EngineError, HostError, NotYetError, UsageError
from runner.gateway.grants import Service
from runner.interruptions import Interruptions, heeded
from runner.selfcheck import quick
from runner.selfcheck.promises import check_names
from runner.settings import Settings
from runner.supervisor import access, prepare, replaying
from runner.supervisor import events as e
from runner.supervisor.deadline import end_of_run, start_of_run
from runner.supervisor.finding import find_attempt
from runner.supervisor.graph import deciding
from runner.supervisor.host.forecast import Forecast, forecast
from runner.supervisor.means import means
from runner.supervisor.night import Night
from runner.supervisor.ownership import detached
from runner.supervisor.ownership.lease import OwnedError
from runner.supervisor.records import find_run, pending_orders, run_names
from runner.supervisor.state import RunState
from runner.tasks.plan import Plan
from runner.views import report
from runner.views.inert import cell

ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run(
    file: FileArgument,
    *,
    jobs: JobsOption = None,
    name: Annotated[str | None, typer.Option(help="What to call the run; the time, by default.")] = None,
    start: StartOption = None,
    until: UntilOption = None,
    lasts: ForOption = None,
    record: Annotated[
        bool, typer.Option("--record", help="Record what agents and models say, for `corral replay`.")
    ] = False,
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Return at once; the run outlives the terminal.")
    ] = False,
    accept_weaker: AcceptOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run the tasks of a file; interrupt once to drain, twice to stop. Work comes home either way."""
    accepted = check_names(accept_weaker or ())
    starts = start_of_run(start, time.time())
    end = end_of_run(until, lasts, starts or time.time())
    settings = configuration.load()
    taken = run_names(settings)
    made = prepare.plan(file, taken, name, record=record, settings=settings)
    access.check_access(made, settings)
    expected = forecast(made, settings, configuration.environment(), jobs)
    if expected.left:
        words = f"note: {expected.left}; `corral resume RUN` goes on with a run, `corral reap` gives up"
        err.print(Text(words, "yellow"), soft_wrap=True)
    while True:
        do = partial(Night.start, plan=made, until=end, starts=starts)
        try:
            if detach:
                code = _detach(made, settings, expected, (starts, end), accept_weaker or (), as_json)
            else:
                code = _work(made, settings, expected, accepted, as_json, do)
        except OwnedError:
            if name is not None:
                raise
            taken.append(made.run)  # it began in the same second: the next name is as good
            made = prepare.plan(file, taken, record=record, settings=settings)
        else:
            raise typer.Exit(code)


def resume(
    name: RunArgument = "latest",
    *,
    jobs: JobsOption = None,
    until: UntilOption = None,
    lasts: ForOption = None,
    kept: Annotated[bool, typer.Option("--kept", hidden=True)] = False,
    accept_weaker: AcceptOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take up a run that ended early: adopt what still runs, finish what was begun, start the rest."""
    accepted = check_names(accept_weaker or ())
    end = end_of_run(until, lasts, time.time())
    settings = configuration.load()
    state = find_run(settings, name)
    ordered = pending_orders(settings, state)
    if kept and state.ended is not None and not ordered:  # it died of nothing any more
        detached.forget(settings.home, state.name, configuration.environment())
        raise typer.Exit(state.exit_code or 0)
    if state.ended is not None and not deciding.can_go_on(state, ordered):
        cure = "`corral retry ATTEMPT` tries one again, and `corral run` starts anew"
        raise UsageError(f"every attempt of the run {state.name} has ended", cure=cure)
    access.check_access(state.plan, settings)
    access.check_as_planned(state, settings)
    begun = False

    def go_on(night: Night) -> RunState:
        nonlocal begun
        begun = True
        return night.resume(state.name, until=end, kept=kept)

    heeds = leave_at_once() if kept else heeded(*ENDS)
    try:
        expected = forecast(state.plan, settings, configuration.environment(), jobs, begun=True)
        code = _work(state.plan, settings, expected, accepted, as_json, go_on, heeds)
    except EngineError as error:
        if begun or not kept:
            raise
        raise NotYetError(error.message, cure=error.cure) from error
    raise typer.Exit(code)


def replay(
    name: RunArgument = "latest",
    attempt: Annotated[str | None, typer.Argument(help="TASK[/PROFILE[/N[.TRY]]]; all by default.")] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="End an attempt where it departs from its recording.")
    ] = False,
    jobs: JobsOption = None,
    accept_weaker: AcceptOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run a recorded run's agents again, against what was recorded: free, offline. Says where they depart."""
    accepted = check_names(accept_weaker or ())
    settings = configuration.load()
    state = find_run(settings, name)
    only = find_attempt(state, attempt).key if attempt else None
    made = replaying.replay_of(state, settings.home, only, strict=strict)
    made = prepare.again(made, f"{state.name}-replay", run_names(settings))
    access.check_access(made, settings)
    expected = forecast(made, settings, configuration.environment(), jobs)
    code = _work(made, settings, expected, accepted, as_json, partial(Night.start, plan=made))
    raise typer.Exit(replaying.exit_code(find_run(settings, made.run), code))


def _detach(
    made: Plan,
    settings: Settings,
    expected: Forecast,
    clock: tuple[float | None, float | None],
    accepted: Sequence[str],
    as_json: bool,
) -> int:
    """Begin a run, and leave it to a supervisor of its own; returns the exit code.

    `clock` is when its first attempt may start, and when it must end.
    """
    expected.require_sound()
    jobs = "auto" if expected.auto else str(expected.jobs)
    options = ["--kept", "--jobs", jobs, *(f"--accept-weaker={name}" for name in accepted)]
    starts, until = clock
    started = e.RunStarted(
        at=time.time(),
        plan=made,
        jobs=expected.jobs,
        auto=expected.auto,
        weaker=expected.weaker,
        until=until,
        starts=starts,
    )
    environment = configuration.environment()
    with detached.beginning(settings.home, made.run):
        detached.write_down(settings, started)
        start = detached.Start.best(environment, needs_variables=_needs_variables(made, settings))
        lives = detached.start(settings.home, made.run, options, start)
        _wait_until_taken_up(settings, made.run, lives, environment)
    if as_json:
        log = str(detached.log_file(settings.home, made.run))
        print_json({"run": made.run, "log": log, "comes_back": not start.note})
        return 0
    words = "`corral attach` shows it, `corral stop` ends it"
    out.print(f"run {made.run} goes on without you: {words}", soft_wrap=True)
    if start.note:
        later = f"after a reboot, `corral resume` goes on with it ({start.note})"
        out.print(Text(later, "dim"), soft_wrap=True)
    return 0


def _wait_until_taken_up(
    settings: Settings, run: str, lives: detached.Lives, environment: Mapping[str, str]
) -> None:
    """Wait until a run is under way, while saying what its supervisor says.

    Raises:
        HostError: It could not begin, and is not tried again.
    """

    def tell(line: str) -> None:
        err.print(cell(line, "dim"), soft_wrap=True)

    try:
        detached.wait_until_taken_up(settings.home, run, lives, tell)
    except KeyboardInterrupt:
        words = f"the run begins without you: `corral attach {run}` shows it, `corral stop {run}` ends it"
        err.print(words, soft_wrap=True)
        raise
    except HostError:
        detached.forget(settings.home, run, environment)
        raise


def _needs_variables(made: Plan, settings: Settings) -> bool:
    """Whether a credential stands in a variable alone: of a service that answers, or of who is told."""
    accesses = (
        access_
        for planned in made.attempts
        for access_ in access.accesses_for(made.profile(planned.profile), planned.key, settings)
    )
    if any(recipient.secret is not None for recipient in settings.recipients):
        return True
    return any(isinstance(one, Service) and one.secret.get_secret_value() for one in accesses)


def leave_at_once() -> list[int]:
    """Let a signal end this process as a crash would; returns that none is heeded.

    Whoever ends the supervisor of a detached run is the machine that goes down: boxes live as long as they
    can, and the run is taken up again later. `corral stop` is how a person ends it.
    """
    for number in ENDS:
        signal.signal(number, signal.SIG_DFL)
    return []


def _work(
    made: Plan,
    settings: Settings,
    expected: Forecast,
    accepted: frozenset[str],
    as_json: bool,
    do: Callable[[Night], RunState],
    heeds: Sequence[int] | None = None,
) -> int:
    """Do a run while showing it; returns the exit code. `heeds` are the signals that end it."""
    expected.require_sound()
    shows = watcher(as_json)
    environment = configuration.environment()
    with (
        Interruptions(heeded(*ENDS) if heeds is None else heeds) as interruptions,
        shows,
        means(
            made,
            settings,
            environment,
            jobs=expected.jobs,
            auto=expected.auto,
            weaker=expected.weaker,
            on_line=interruptions.before(shows.building),
        ) as has,
    ):
        night = Night(quick.require(has, made.run, accepted), shows)
        interruptions.hand_to(night)
        state = do(night)
    detached.forget(settings.home, state.name, environment)
    if not as_json:
        with suppress(OSError):  # whoever looked may have left
            out.print(Group(Text(), report.terminal(state), report.next_steps(state)))
    return state.exit_code or 0
