"""The command that shows what all living boxes use, as it changes."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Annotated

import typer
from rich.console import RenderableType
from rich.live import Live

from runner import settings as configuration
from runner.commands.words import LinesOption, out, print_row
from runner.errors import EngineError
from runner.sandbox.engine import Engine
from runner.supervisor.census import Census
from runner.views import top as view
from runner.views.inert import cell

EVERY = 1.0
"""Seconds between two looks."""

OTHERS = 4
"""Lines of the screen that are no box's."""


def top(
    once: Annotated[bool, typer.Option("--once", help="Show it once, as it is over a second.")] = False,
    as_json: LinesOption = False,
) -> None:
    """Show what each living box of all runs uses, every second, until Ctrl-C; once where nobody looks."""
    with suppress(KeyboardInterrupt), Engine(configuration.environment()) as engine:
        census = Census(engine, configuration.load().home)
        census.look()  # what is used in a second takes two looks to tell
        if as_json:
            _rows(census, once=once)
        elif once or not out.is_terminal:
            time.sleep(EVERY)
            out.print(view.terminal(census.look()))
        else:
            _follow(census)


def _rows(census: Census, *, once: bool) -> None:
    while True:
        time.sleep(EVERY)
        print_row(view.as_json(census.look()))
        if once:
            return


def _follow(census: Census) -> None:
    """Draw it until interrupted."""
    with Live(console=out, auto_refresh=False, screen=False) as screen:
        while True:
            time.sleep(EVERY)
            try:
                shown: RenderableType = view.terminal(census.look(), max(1, out.height - OTHERS))
            except EngineError as error:  # it may be restarted: the next look may find it
                shown = cell(error.message, "yellow")
            screen.update(shown, refresh=True)
