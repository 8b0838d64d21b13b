"""Commands by which a person settles what a run could not settle by itself."""

from __future__ import annotations

import time
from enum import StrEnum
from typing import Annotated

import typer
from rich.text import Text

from runner import settings as configuration
from runner.commands.attending import give
from runner.commands.words import JsonOption, RunArgument, out, print_json
from runner.errors import UsageError
from runner.settings import Settings
from runner.supervisor.finding import find_attempt
from runner.supervisor.graph import deciding
from runner.supervisor.host.forecast import require_room
from runner.supervisor.ownership import orders
from runner.supervisor.ownership.heeding import heed
from runner.supervisor.ownership.presence import is_left
from runner.supervisor.records import find_run
from runner.supervisor.state import RunState
from runner.tasks.explain import meant
from runner.tasks.fields import LARGEST_SIZE, SMALLEST_MEMORY
from runner.tasks.units import format_size, parse_size
from runner.views.inert import block


class What(StrEnum):
    """What can be decided about a task."""

    RETRY = "retry"
    SKIP = "skip"
    USE = "use"


def retry(
    attempts: Annotated[list[str], typer.Argument(metavar="ATTEMPT...", help="TASK[/PROFILE[/N]]")],
    name: Annotated[str, typer.Option("--run", help="The run.")] = "latest",
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Begin anew, without the work and the conversation so far.")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with both, also where the task file says `fresh`.")
    ] = False,
    memory: Annotated[
        str | None, typer.Option("--memory", metavar="SIZE", help="Its memory limit, like 8GiB.")
    ] = None,
    say: Annotated[str, typer.Option("--say", metavar="TEXT", help="What its agent is told besides.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Try attempts again that ended without serving; each try keeps its record."""
    if fresh and resume:
        raise UsageError("--fresh and --resume exclude each other", cure="give one of them")
    settings = configuration.load()
    state = find_run(settings, name)
    keys = [find_attempt(state, text).key for text in attempts]
    size = None if memory is None else _size(memory)
    for key in keys:
        require_room(state.limits(key), size, settings, configuration.environment())
    wanted = [
        orders.Retry(
            attempt=str(key.first),
            session="fresh" if fresh else "resume" if resume else None,
            memory=size,
            note=say,
        )
        for key in keys
    ]
    _order(settings, state, wanted, as_json=as_json)


def decide(
    name: RunArgument,
    task: Annotated[str, typer.Argument(help="The task.")],
    what: Annotated[
        What,
        typer.Argument(
            help="`retry` its attempts; `skip` it, so that what needs it goes on without; `use` one's work."
        ),
    ],
    attempt: Annotated[str | None, typer.Argument(help="For `use`: TASK/PROFILE/N[.TRY].")] = None,
    as_json: JsonOption = False,
) -> None:
    """Decide about a task that no attempt served, and that holds what needs it."""
    settings = configuration.load()
    state = find_run(settings, name)
    if all(known.id != task for known in state.plan.tasks):
        cure = meant(
            task, [known.id for known in state.plan.tasks], f"`corral status {state.name}` lists them"
        )
        raise UsageError(f"the run {state.name} has no task called {task!r}", cure=cure)
    if (attempt is None) == (what is What.USE):
        cure = (
            f"corral decide {state.name} {task} use ATTEMPT" if what is What.USE else "leave the attempt out"
        )
        raise UsageError(f"`{what}` takes {'an' if what is What.USE else 'no'} attempt", cure=cure)
    wanted: list[orders.Retry | orders.Decide]
    if what is What.RETRY:
        wanted = [orders.Retry(attempt=str(key)) for key in _unserved(state, task)]
    else:
        chosen = None if attempt is None else str(find_attempt(state, attempt).key)
        wanted = [orders.Decide(task=task, what="skip" if what is What.SKIP else "use", attempt=chosen)]
    _order(settings, state, wanted, as_json=as_json)


def _unserved(state: RunState, task: str) -> list[str]:
    """The attempts of a task that did not serve it."""
    found = [
        str(planned.key)
        for planned in state.plan.attempts
        if planned.task == task and not state.counts(state.tries(planned.key)[-1])
    ]
    if not found:
        raise UsageError(f"{task} served: there is nothing to try again")
    return found


def _size(text: str) -> int:
    try:
        size = parse_size(text)
    except ValueError as wrong:
        raise UsageError(f"--memory: {wrong}", cure="write it like --memory 8GiB") from wrong
    if not SMALLEST_MEMORY <= size <= LARGEST_SIZE:
        span = f"from {format_size(SMALLEST_MEMORY)} to {format_size(LARGEST_SIZE)}"
        raise UsageError(f"--memory: {format_size(size)} is out of range ({span})", cure="give it a unit")
    return size


def _order(
    settings: Settings,
    state: RunState,
    wanted: list[orders.Retry] | list[orders.Retry | orders.Decide],
    *,
    as_json: bool,
) -> None:
    """Give orders that can be done as things stand, all of them or none, and say what becomes of them.

    Raises:
        UsageError: One of them can't be done.
    """
    for order in wanted:
        done = deciding.obey(state, order, time.time())
        if isinstance(done, str):
            raise UsageError(done, cure=f"`corral status {state.name}` shows where everything stands")
    for order in wanted:
        give(settings, state.name, order)
    now = heed(settings.home, state.name)
    lives = not is_left(settings.home, state.name)
    if as_json:
        rows = [order.model_dump(mode="json") for order in wanted]
        print_json({"run": state.name, "orders": rows, "lives": lives, "heeded": now is not None})
        return
    for order in wanted:
        out.print(Text(block(_words(state, order))), soft_wrap=True)
    if not lives and (now is None or deciding.left_to_do(now)):
        what = "heeds this" if now is None else "goes on"
        words = f"nobody works on this run just now: `corral resume {state.name}` {what}"
        out.print(Text(words, "yellow"), soft_wrap=True)


def _words(state: RunState, order: orders.Retry | orders.Decide) -> str:
    if isinstance(order, orders.Retry):
        return f"{order.attempt} is tried again"
    if order.what == "skip":
        if any(state.serves(one) for one in state.attempts.of_task(order.task)):
            return f"no work of {order.task} is chosen any more: what was accepted of it counts"
        return f"what needs {order.task} goes on without it"
    return f"{order.attempt} counts as accepted"
