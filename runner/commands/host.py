"""The commands about this host: what it has, what holds here, its images, and what was left on it."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer
from rich.console import RenderableType
from rich.live import Live

from runner import settings as configuration
from runner.commands.words import (
    FileArgument,
    JsonOption,
    LinesOption,
    build_line,
    err,
    out,
    print_json,
    print_row,
)
from runner.errors import HostError
from runner.gateway.client import Gateway
from runner.gateway.grants import Standing
from runner.sandbox.engine import Engine
from runner.sandbox.layers import LABEL_DESCRIPTION
from runner.sandbox.standing import Post
from runner.selfcheck import full
from runner.settings import Settings
from runner.supervisor import keys, login, prepare
from runner.supervisor import reap as reaping
from runner.supervisor.graph.schedule import images_of
from runner.supervisor.host import doctor as doctoring
from runner.supervisor.means import images as image_maker
from runner.supervisor.means import images_unbuilt, standing
from runner.supervisor.people import trying
from runner.supervisor.records import run_names, wanted_images
from runner.supervisor.state import RunState
from runner.views import gateway_view, report, selfcheck_view, wording
from runner.views.inert import cell

gateway_app = typer.Typer(help="The way of boxes to models and hosts.", no_args_is_help=True)
EVERY = 1.0
"""Seconds between two looks of `gateway top`."""

image_app = typer.Typer(help="The images that boxes are made from.", no_args_is_help=True)


def doctor(as_json: JsonOption = False) -> None:
    """Say what this machine has, what is weaker or missing, and the cure."""
    settings, environment = configuration.load(), configuration.environment()
    findings = [*doctoring.examine(settings, environment), *keys.examine(settings, environment)]
    findings += trying.examine(settings.recipients, environment)
    if as_json:
        print_json(selfcheck_view.as_json(tuple(findings)))
    else:
        for finding in findings:
            out.print(report.finding(finding), soft_wrap=True)
    if any(finding.level == "broken" for finding in findings):
        raise typer.Exit(3)


def selfcheck(as_json: JsonOption = False) -> None:
    """Attack boxes of its own, in a minute or two, and say of each promise whether it holds here."""
    findings = full.examine(configuration.load(), configuration.environment(), _progress)
    if as_json:
        print_json(selfcheck_view.as_json(findings))
    else:
        out.print(selfcheck_view.terminal(findings), soft_wrap=True)
    if any(finding.level == "broken" for finding in findings):
        raise typer.Exit(3)


def _progress(text: str) -> None:
    err.print(cell(text, "dim"), soft_wrap=True)


def _unless(as_json: bool) -> Callable[[str], None]:
    """Says a line to a person, and nothing to a program."""

    def say(words: str) -> None:
        if not as_json:
            out.print(words, soft_wrap=True)

    return say


def reap(
    dry: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Remove what ended runs left: containers and workspaces of ours. Unsaved work is saved first."""
    settings, say = configuration.load(), _unless(as_json)
    with reaping.alone(settings.home), Engine(configuration.environment()) as engine:
        if not dry and full.clear_killed(engine, settings):
            say("removed what a `corral selfcheck` had left")
        saved: list[str] = []
        if dry:
            left = reaping.look(engine, settings.home)
            _tell_left(left, say)
        else:
            left, saved = _clear(engine, settings, say)
        if as_json:
            print_json({**left.as_json(), "removed": not dry, "saved": saved})
        if not dry:  # who would have let it leave may have been killed; it stays if anybody needs it
            Gateway.stop(settings.home)


def _tell_left(left: reaping.Leftovers, say: Callable[[str], None]) -> None:
    for words in left.words() or ["nothing is left over"]:
        say(words)


def _clear(
    engine: Engine, settings: Settings, say: Callable[[str], None]
) -> tuple[reaping.Leftovers, list[str]]:
    """Remove what ended runs left; returns what that was, and what was saved of it."""
    saved: list[str] = []
    with reaping.clearing(engine, settings.home) as clearing:
        for words in clearing.alone:
            say(words)
        _tell_left(clearing.left, say)
        if clearing.left:
            post = Post(engine, image_maker(engine, settings).steward(), settings.home, "reap")
            with standing(post) as stewards:
                saved = clearing.clear(stewards)
    for file in saved:
        say(f"its files were saved in {file}")
    return clearing.left, saved


def grants_of(home: Path, state: RunState) -> list[Standing]:
    """How a living run's attempts stand at the gateway; none where that can't be told."""
    if state.ended is not None:
        return []
    try:
        found = Gateway.look(home)
    except HostError:
        return []
    return [one for one in found[1] if one.account.run == state.name] if found is not None else []


@gateway_app.command("status")
def gateway_status(as_json: JsonOption = False) -> None:
    """Show who asks models and who waits for what, how accounts stand, and what is left of the budgets."""
    look = gateway_view.look(configuration.load().home)
    if as_json:
        print_json(gateway_view.as_json(look))
    else:
        out.print(gateway_view.terminal(look, time.time()))


@gateway_app.command("top")
def gateway_top(as_json: LinesOption = False) -> None:
    """Show the same, again and again, until Ctrl-C; once where nobody looks."""
    home = configuration.load().home
    with suppress(KeyboardInterrupt):
        if as_json:
            while True:
                print_row(gateway_view.as_json(gateway_view.look(home)))
                time.sleep(EVERY)
        elif not out.is_terminal:
            out.print(gateway_view.terminal(gateway_view.look(home), time.time()))
        else:
            _follow(home)


def _follow(home: Path) -> None:
    """Draw how the gateway stands until interrupted."""
    with Live(console=out, auto_refresh=False, screen=False) as screen:
        while True:
            try:
                shown: RenderableType = gateway_view.terminal(gateway_view.look(home), time.time())
            except HostError as error:  # it may be busy, or be replaced: the next look may find it
                shown = cell(error.message, "yellow")
            screen.update(shown, refresh=True)
            time.sleep(EVERY)


@gateway_app.command("login")
def gateway_login(
    account: Annotated[str, typer.Argument(help="An account of the configuration file.")],
    source: Annotated[
        Path | None, typer.Option("--from", help="A file with the login; standard input, by default.")
    ] = None,
) -> None:
    """Take in a login made for Corral: a refresh token, or JSON with one. The gateway keeps it fresh."""
    settings = configuration.load()
    file = login.take_in(settings, account, source, _asked)
    out.print(
        f"the login of {account} lies in {file}, and is the gateway's alone from now on", soft_wrap=True
    )


def _asked() -> str:
    """What a person gives at a terminal, unseen."""
    return str(typer.prompt("refresh token", hide_input=True, err=True))


@gateway_app.command("stop")
def gateway_stop() -> None:
    """End the gateway's process, if nobody may ask anything through it; it also leaves by itself."""
    home = configuration.load().home
    if Gateway.stop(home):
        out.print("no gateway runs")
        return
    grants = (Gateway.look(home) or (0, []))[1]
    said = f"the gateway is in use by {', '.join(one.account.attempt or one.box for one in grants[:5])}"
    raise HostError(said, cure="end their run first (Ctrl-C twice, or `corral reap`)")


@image_app.command("build")
def image_build(file: FileArgument) -> None:
    """Build the images that a task file needs."""
    settings = configuration.load()
    made = prepare.plan(file, run_names(settings), settings=settings)
    with Engine(configuration.environment()) as engine:
        maker = image_maker(engine, settings)
        maker.steward(build_line)
        for source, cli in images_of(made):
            image = maker.prepare(made.sources[source], cli, build_line)
            out.print(f"{made.sources[source].repo}: {image}", soft_wrap=True)


@image_app.command("list")
def image_list(as_json: JsonOption = False) -> None:
    """List the images that Corral made."""
    with Engine(configuration.environment()) as engine:
        held = images_unbuilt(engine, configuration.load()).held()
    if as_json:
        print_json([{"tags": list(i.tags), "id": i.id, "size": i.size, "created": i.created} for i in held])
        return
    for image in held:
        out.print(
            f"{', '.join(image.tags)}  {wording.size(image.size)}  {image.labels.get(LABEL_DESCRIPTION, '')}",
            soft_wrap=True,
        )


@image_app.command("prune")
def image_prune() -> None:
    """Remove images of ours that nothing uses any more."""
    settings = configuration.load()
    with Engine(configuration.environment()) as engine:
        for tag in image_maker(engine, settings).prune(keep=wanted_images(settings)):
            out.print(f"removed {tag}", soft_wrap=True)
