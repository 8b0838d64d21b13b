"""The commands, put together; every error of ours is printed here, and has its own exit code."""

from __future__ import annotations

import signal
import sys
import tempfile
import traceback
from typing import Annotated

import typer
from rich.text import Text

import runner
from runner import settings as configuration
from runner.commands import (
    attending,
    comparing,
    deciding,
    discarding,
    history,
    host,
    integrating,
    looking,
    mailing,
    planning,
    requesting,
    running,
    shelling,
    telling,
    topping,
)
from runner.commands.words import err, out
from runner.errors import CorralError
from runner.interruptions import heeded
from runner.views.inert import block

app = typer.Typer(
    help="Run coding agents unattended, each in its own limited container over its own git worktree.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

app.command()(planning.init)
app.command()(host.doctor)
app.command()(host.selfcheck)
app.command()(planning.schema)
app.command()(planning.plan)
app.command()(running.run)
app.command()(running.resume)
app.command()(running.replay)
app.command()(deciding.retry)
app.command()(deciding.decide)
app.command()(attending.attach)
app.command()(attending.wait)
app.command()(attending.stop)
app.command()(attending.pause)
app.command()(attending.unpause)
app.command()(looking.status)
app.command()(topping.top)
app.command("logs")(looking.show_logs)
app.command()(looking.show)
app.command()(looking.diff)
app.command()(looking.take)
app.command()(integrating.integrate)
app.command()(discarding.discard)
app.command()(requesting.pr)
app.command()(shelling.shell)
app.command("report")(looking.show_report)
app.command()(comparing.compare)
app.command()(history.history)
app.command()(host.reap)
app.add_typer(mailing.inbox_app, name="inbox")
app.add_typer(host.image_app, name="image")
app.add_typer(host.gateway_app, name="gateway")
app.add_typer(telling.notify_app, name="notify")


@app.callback(invoke_without_command=True)
def _top(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        out.print(f"corral {runner.__version__}")
        raise typer.Exit


def main() -> None:
    """Run one command; every error of ours is printed with its cure and its own exit code."""
    configuration.forget_git_environment()
    for number in heeded(signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(130)
    except CorralError as error:
        _complain(str(error))
        sys.exit(error.exit_code)
    except Exception as error:
        _complain(f"a bug in Corral: {error!r}\n  → please report it, with {_report_of(error)}")
        sys.exit(CorralError.exit_code)


def _leave(number: int, _: object) -> None:
    """End as after Ctrl-C, so that whatever was begun is taken down; a run that is under way knows better."""
    sys.exit(128 + number)


def _complain(text: str) -> None:
    err.print(Text("error: ", "bold red") + Text(block(text)), soft_wrap=True)


def _report_of(error: Exception) -> str:
    """Write down where an unexpected error comes from; returns the file's path."""
    with tempfile.NamedTemporaryFile("w", prefix="corral-bug-", suffix=".txt", delete=False) as file:
        file.writelines(traceback.format_exception(error))
    return file.name
