"""Commands about telling people."""

from __future__ import annotations

from typing import Annotated

import typer

from runner import settings as configuration
from runner.commands.words import JsonOption, out, print_json
from runner.errors import UsageError
from runner.recipients import Recipient
from runner.settings import Settings
from runner.supervisor.people import trying
from runner.views.inert import cell

notify_app = typer.Typer(help="Who is told what happens in the night.", no_args_is_help=True)


@notify_app.callback()
def _group() -> None:
    """Who is told what happens in the night."""


@notify_app.command("test")
def notify_test(
    name: Annotated[str | None, typer.Argument(help="One of the recipients; all by default.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Send a message to those who are told of the night, quiet hours or not, and say who took it."""
    settings = configuration.load()
    problems = trying.send(_chosen(settings, name), configuration.environment())
    if as_json:
        print_json([{"recipient": told, "problem": why or None} for told, why in problems.items()])
    else:
        for told, why in problems.items():
            out.print(cell(f"{told}: {why or 'told'}", "red" if why else "green"), soft_wrap=True)
    if any(problems.values()):
        raise typer.Exit(3)


def _chosen(settings: Settings, name: str | None) -> tuple[Recipient, ...]:
    names = [recipient.name for recipient in settings.recipients]
    if not names:
        cure = f"list some under [[notify.to]] in {settings.config}; docs/nights.md shows how"
        raise UsageError("nobody is told of anything", cure=cure)
    if name is not None and name not in names:
        raise UsageError(f"no recipient is called {name!r}", cure=f"there are {', '.join(names)}")
    return tuple(one for one in settings.recipients if name in {None, one.name})
