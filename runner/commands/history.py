"""The command that looks back over all runs."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from runner import settings as configuration
from runner.commands.words import JsonOption, out, print_json
from runner.errors import UsageError
from runner.supervisor import past
from runner.views import history_view

DAY = 86400.0

DaysOption = Annotated[
    float | None, typer.Option("--days", min=0, metavar="N", help="Only runs that began in the last N days.")
]
TaskOption = Annotated[
    str | None, typer.Option("--task", metavar="KIND", help="Only tasks of this `kind`, or of this name.")
]
ProfileOption = Annotated[
    str | None,
    typer.Option("--profile", metavar="P", help="Only this profile: its name, or its settings' hash."),
]


def history(
    days: DaysOption = None,
    task: TaskOption = None,
    profile: ProfileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what all runs say of profiles and kinds of task, and how that changed."""
    if days == 0:
        raise UsageError("--days 0 leaves no run to look at", cure="--days 1 is the last 24 hours")
    since = 0.0 if days is None else time.time() - days * DAY
    runs = past.read(configuration.load(), since)
    past.require_known(runs, task, profile)
    real = past.chosen(runs, task, profile, played=False)
    played = past.chosen(runs, task, profile, played=True)
    if as_json:
        print_json(history_view.as_json(real, played))
    else:
        out.print(history_view.terminal(real, played))
