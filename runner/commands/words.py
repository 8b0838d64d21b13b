"""The words that commands share: arguments, options, and where they print."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from runner.views import live, machine_lines
from runner.views.inert import InertConsole, cell

WIDE = 240
"""Columns where nobody looks: in a file or a pipe nothing is cut or wrapped to fit a screen."""

INTEGRATION = "+integration"
"""What commands call all that was put together."""

out = InertConsole(width=None if sys.stdout.isatty() else WIDE)
err = InertConsole(stderr=True)

FileArgument = Annotated[Path, typer.Argument(help="The task file.")]
RunArgument = Annotated[str, typer.Argument(help="A run: its name, a unique prefix of it, or `latest`.")]
JsonOption = Annotated[bool, typer.Option("--json", help="For programs: JSON on standard output.")]
LinesOption = Annotated[bool, typer.Option("--json", help="For programs: a JSON object a line.")]


def _jobs(given: str | None) -> str | None:
    """A number from 1 on, or `auto`."""
    if given is not None and given != "auto" and not (given.isdecimal() and int(given) > 0):
        raise typer.BadParameter(f"{given!r} is neither a number from 1 on nor `auto`")
    return given


JobsOption = Annotated[
    str | None,
    typer.Option(
        "--jobs",
        "-j",
        metavar="N|auto",
        callback=_jobs,
        help="At most so many attempts live at once; auto: what the host bears.",
    ),
]
UntilOption = Annotated[
    str | None,
    typer.Option("--until", metavar="HH:MM", help="End the run at this time of day; work comes home."),
]
StartOption = Annotated[
    str | None,
    typer.Option("--start", metavar="HH:MM", help="Start nothing before this time of day; images are made."),
]
ForOption = Annotated[
    str | None, typer.Option("--for", metavar="TIME", help="End the run after so long, like 6h or 90min.")
]
AcceptOption = Annotated[
    list[str] | None,
    typer.Option("--accept-weaker", metavar="NAME", help="Go on although this promise is broken here."),
]


def watcher(as_json: bool) -> live.Watcher:
    """What shows a run: for programs, on a terminal, or in a file."""
    if as_json:
        return machine_lines.JsonLines(print_row)
    return live.LiveTable(out) if out.is_terminal else live.PlainLines(out)


def build_line(text: str) -> None:
    """Show a line of an image's build output."""
    out.print(cell(text, "dim"), soft_wrap=True)


def print_json(value: object) -> None:
    """Print a value for programs."""
    sys.stdout.write(json.dumps(value, indent=2) + "\n")


def print_row(value: object) -> None:
    """Print one of many values for programs, on a line of its own, at once."""
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()
