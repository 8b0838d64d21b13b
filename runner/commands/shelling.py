"""`corral shell`: a person in a box of their own, on a copy of what an attempt made."""

from __future__ import annotations

import os
import select
import shutil
import signal
import sys
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from runner import settings as configuration
from runner.commands.words import build_line, err
from runner.sandbox.engine import Engine
from runner.sandbox.output import READY
from runner.sandbox.talk import Talk
from runner.supervisor import shelling
from runner.supervisor.finding import find_attempt
from runner.supervisor.means import means
from runner.supervisor.records import find_run

GONE = 1
"""The exit code where the engine does not say what the command's was."""


def shell(
    attempt: Annotated[str, typer.Argument(help="TASK[/PROFILE[/N[.TRY]]]")],
    command: Annotated[list[str] | None, typer.Argument(help="What to run; a shell by default.")] = None,
    name: Annotated[str, typer.Option("--run", help="The run.")] = "latest",
) -> None:
    """Open a new box on a copy of an attempt's work, to look around or run something; it has no network."""
    settings = configuration.load()
    state = find_run(settings, name)
    found = find_attempt(state, attempt)
    plan = shelling.plan_of(state)
    terminal = command is None and sys.stdin.isatty() and sys.stdout.isatty()
    argv = tuple(command) if command else shelling.SHELL
    environment = configuration.environment()
    with (
        means(plan, settings, environment, jobs=1, weaker=(), on_line=build_line) as has,
        shelling.box(plan, found, has, argv, terminal=terminal, on_line=build_line) as (engine, container),
    ):
        if terminal:
            what = "its work" if found.commit else "what it starts from: it has no branch yet"
            err.print(f"a copy of {what}; what you change here is gone when you leave", style="dim")
            _sit(engine, container)
        else:
            _print(engine, container)
        ended = engine.wait_ended(container)
    code = None if ended is None else ended.exit_code
    raise typer.Exit(GONE if code is None else code)


def _print(engine: Engine, container: str) -> None:
    """Run it without a terminal: what it prints goes where ours does."""
    output = engine.attach(container)
    engine.start(container)
    heading = READY + b"\n"
    for out, error in output:
        if out is not None:
            sys.stdout.buffer.write(out.replace(heading, b"", 1) if heading else out)
            sys.stdout.buffer.flush()
            heading = b"" if heading in out else heading
        if error is not None:
            sys.stderr.buffer.write(error)
            sys.stderr.buffer.flush()


def _sit(engine: Engine, container: str) -> None:
    """Let a person sit before it, until its shell has ended."""
    talk = engine.talk(container)
    try:
        engine.start(container)
        with _raw(sys.stdin.fileno()), _sized(engine, container):
            _pass_on(talk)
    finally:
        talk.close()


def _pass_on(talk: Talk) -> None:
    typing: list[int | Talk] = [sys.stdin.fileno(), talk]
    while True:
        ready, _, _ = select.select(typing, [], [])
        if talk in ready:
            printed = talk.read()
            if not printed:
                return
            os.write(sys.stdout.fileno(), printed)
        if sys.stdin.fileno() in ready:
            talk.write(os.read(sys.stdin.fileno(), 4096))


@contextmanager
def _raw(terminal: int) -> Iterator[None]:
    """Hand every key on as it is typed."""
    before = termios.tcgetattr(terminal)
    tty.setraw(terminal)
    try:
        yield
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)


@contextmanager
def _sized(engine: Engine, container: str) -> Iterator[None]:
    """Keep the box's terminal as large as ours."""

    def resize(*_: object) -> None:
        size = shutil.get_terminal_size()
        engine.resize(container, size.lines, size.columns)

    before = signal.signal(signal.SIGWINCH, resize)
    resize()
    try:
        yield
    finally:
        signal.signal(signal.SIGWINCH, before)
