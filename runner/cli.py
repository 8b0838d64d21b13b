"""The commands: parse, call, print."""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

import runner
from runner import settings as configuration
from runner.errors import CorralError
from runner.supervisor import doctor as doctoring
from runner.supervisor import prepare
from runner.supervisor.journal import Journal
from runner.supervisor.means import images as image_maker
from runner.supervisor.means import journal, means
from runner.supervisor.night import Night
from runner.supervisor.state import AttemptState, RunState, fold
from runner.tasks.schema import json_schema
from runner.views import live, plan_view, report, summary, wording
from runner.views.inert import block, cell

app = typer.Typer(
    help="Run coding agents unattended, each in its own limited container over its own git worktree.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
image_app = typer.Typer(help="The images that boxes are made from.", no_args_is_help=True)
app.add_typer(image_app, name="image")

out = Console(highlight=False, markup=False)
err = Console(stderr=True, highlight=False, markup=False)

FileArgument = Annotated[Path, typer.Argument(help="The task file.")]
RunArgument = Annotated[str, typer.Argument(help="A run: its name, a unique prefix of it, or `latest`.")]
JsonOption = Annotated[bool, typer.Option("--json", help="For programs: JSON on standard output.")]
JobsOption = Annotated[int | None, typer.Option("--jobs", "-j", min=1, help="How many attempts live at once.")]
