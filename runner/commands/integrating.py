"""The command that puts a run's accepted branches together."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Annotated

import typer
from rich.text import Text

from runner import settings as configuration
from runner.commands.words import JsonOption, RunArgument, build_line, err, out, print_json
from runner.settings import Settings
from runner.supervisor.graph import deciding
from runner.supervisor.morning.combined import Verify, verifier
from runner.supervisor.morning.together import Say, Together, put_together
from runner.supervisor.records import find_run
from runner.supervisor.state import RunState
from runner.views import together as view
from runner.views.inert import cell, line


def integrate(
    name: RunArgument = "latest",
    dry: Annotated[
        bool,
        typer.Option("--dry-run", help="Only say what would go in, as far as merging tells; write nothing."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Put accepted branches together on one branch, without those that do not go together."""
    settings = configuration.load()
    state = find_run(settings, name)
    told = (lambda _: None) if as_json else build_line
    with verifier(state.plan, settings, configuration.environment(), told) as verify:
        code = integrated(settings, state, None if dry else verify, dry=dry, as_json=as_json)
    raise typer.Exit(code)


def integrated(
    settings: Settings, state: RunState, verify: Verify | None, *, dry: bool, as_json: bool
) -> int:
    """Do it, and show it.

    Args:
        settings: The settings.
        state: The run.
        verify: Runs checks; None for none.
        dry: Whether only to say what would go in.
        as_json: Whether for programs.

    Returns:
        The exit code: 0 if every branch that is there is in, 1 if one was left out.
    """
    with _progress(as_json) as say:
        done = put_together(settings.home, state, verify, say, dry=dry)
    if as_json:
        rows = [_row(one) for one in done]
        print_json({"schema": 1, "run": state.name, "dry_run": dry, "repositories": rows})
    else:
        _show(done, dry)
        if deciding.left_to_do(state):
            words = f"attempts of this run are still to be done: `corral resume {state.name}` goes on"
            out.print(Text(words, "yellow"), soft_wrap=True)
    fine = {"same", "discarded"}
    return int(any(not one.went_in and one.cause not in fine for each in done for one in each.event.joined))


def _row(one: Together) -> dict[str, object]:
    event = one.event.model_dump(mode="json", exclude={"kind", "at"})
    return {**event, "new": one.is_new, "matrix": asdict(one.matrix)}


def _show(done: list[Together], dry: bool) -> None:
    for one in done:
        for part in view.integrated(one.event, len(done)):
            out.print(part, soft_wrap=isinstance(part, Text))
        if dry:
            out.print(Text("nothing was written, and no check was run", "yellow"))
        elif one.event.branch is None:
            out.print(Text("nothing went in: there is no branch", "yellow"))
        else:
            what = "is now" if one.is_new else "was already"
            words = f"{one.event.branch} {what} at {(one.event.commit or '')[:12]}"
            out.print(cell(words), soft_wrap=True)


@contextmanager
def _progress(as_json: bool) -> Iterator[Say]:
    """Says what is being done: on a line that changes where somebody looks, else a line for each."""
    if as_json:
        yield lambda _: None
    elif err.is_terminal:
        with err.status("") as status:
            yield lambda words: status.update(Text(line(words), "dim"))
    else:
        yield lambda words: err.print(cell(words, "dim"), soft_wrap=True)
