"""Commands that attend to a run that another process works on."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Annotated

import typer
from rich.console import Group
from rich.text import Text

from runner import settings as configuration
from runner.commands.words import JsonOption, LinesOption, RunArgument, err, out, print_json, watcher
from runner.errors import UsageError
from runner.settings import Settings
from runner.supervisor.finding import find_attempt
from runner.supervisor.ownership import detached
from runner.supervisor.ownership.orders import Drain, Order, Pause, Stop, Unpause
from runner.supervisor.ownership.presence import presence
from runner.supervisor.records import find_run, journal
from runner.supervisor.state import RunState
from runner.views import report

AttemptsOption = Annotated[
    list[str] | None, typer.Option("--attempt", help="TASK[/PROFILE[/N[.TRY]]]; the whole run by default.")
]


def attach(name: RunArgument = "latest", as_json: LinesOption = False) -> None:
    """Watch a run that another process works on. Ctrl-C leaves it alone."""
    settings = configuration.load()
    run = find_run(settings, name).name
    state: RunState | None = None
    shows = watcher(as_json)
    try:
        with shows:
            for row, state in detached.follow(settings.home, run):
                shows(row, state)
    except KeyboardInterrupt:
        err.print(f"the run goes on: `corral attach {run}` shows it, `corral stop {run}` ends it")
        return
    if state is not None and not as_json:
        with suppress(OSError):
            out.print(Group(Text(), report.terminal(state), report.next_steps(state)))
    raise typer.Exit(0 if state is None else state.exit_code or 0)


def wait(name: RunArgument = "latest", as_json: JsonOption = False) -> None:
    """Wait until a run has ended, and end with its exit code."""
    settings = configuration.load()
    run = find_run(settings, name).name
    code = 0
    for _, state in detached.follow(settings.home, run):
        code = state.exit_code or 0
    if as_json:
        print_json({"run": run, "exit_code": code})
    raise typer.Exit(code)


def stop(
    name: RunArgument = "latest",
    drain: Annotated[
        bool, typer.Option("--drain", help="Let what runs come to its end; start nothing new.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Stop a run that another process works on: what runs is ended, and its work brought home."""
    settings = configuration.load()
    state = living(settings, name)
    seq = give(settings, state.name, Drain() if drain else Stop())
    if as_json:
        print_json({"run": state.name, "order": "drain" if drain else "stop", "seq": seq})
        return
    words = "starts nothing new; what runs comes to its end" if drain else "stops what runs"
    out.print(f"the run {state.name} {words}: `corral wait {state.name}` waits for its end", soft_wrap=True)


def pause(name: RunArgument = "latest", attempt: AttemptsOption = None, as_json: JsonOption = False) -> None:
    """Freeze a run, or some of its attempts: they keep their memory, and the time does not count."""
    _freeze(name, attempt or [], as_json, pausing=True)


def unpause(
    name: RunArgument = "latest", attempt: AttemptsOption = None, as_json: JsonOption = False
) -> None:
    """Let a paused run, or attempt, go on."""
    _freeze(name, attempt or [], as_json, pausing=False)


def _freeze(name: str, attempts: list[str], as_json: bool, *, pausing: bool) -> None:
    settings = configuration.load()
    state = living(settings, name)
    keys = tuple(str(find_attempt(state, text).key) for text in attempts)
    seq = give(settings, state.name, (Pause if pausing else Unpause)(attempts=keys))
    if as_json:
        print_json({"run": state.name, "order": "pause" if pausing else "unpause", "seq": seq})
        return
    what = ", ".join(keys) or f"the run {state.name}"
    words = f"{what} stands still until `corral unpause`" if pausing else f"{what} goes on"
    out.print(words, soft_wrap=True)


# -- parts


def living(settings: Settings, name: str) -> RunState:
    """The run that a person means, if a process works on it, or will by itself: what is ordered is kept.

    Raises:
        UsageError: None fits, or nobody works on it, nor will by itself.
    """
    there = presence(settings.home, find_run(settings, name).name)
    state = find_run(settings, name)  # as it is by now: it may have ended since
    run = state.name
    if there != "works" and state.ended is not None:
        raise UsageError(f"the run {run} has ended", cure=f"`corral report {run}` shows it")
    if there == "nobody":
        raise UsageError(f"nobody works on the run {run}", cure=f"`corral resume {run}` goes on with it")
    return state


def give(settings: Settings, run: str, order: Order) -> int:
    """Give an order to a run; returns its number."""
    with journal(settings) as book:
        return book.order(run, order, time.time())
