"""Commands before a run: a first task file, its schema, the plan."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from runner import settings as configuration
from runner.commands.words import (
    FileArgument,
    JobsOption,
    JsonOption,
    out,
    print_json,
)
from runner.errors import UsageError
from runner.supervisor import access, prepare
from runner.supervisor.host.forecast import forecast
from runner.supervisor.records import run_names
from runner.tasks.schema import json_schema
from runner.tasks.starter import starter
from runner.views import plan_view


def init(
    file: Annotated[Path, typer.Argument(help="The file to write.")] = Path("corral.yaml"),
) -> None:
    """Write a commented first task file."""
    if file.exists():
        raise UsageError(f"{file} exists", cure="name another file; nothing is overwritten")
    text = starter(devcontainer=_has_devcontainer(file.absolute().parent))
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{file} can't be written: {error.strerror}", cure="name another file") from error
    out.print(f"wrote {file}; next: edit it, then `corral plan {file}`", soft_wrap=True)


def schema() -> None:
    """Print the JSON Schema of task files, for editors."""
    print_json(json_schema())


def plan(file: FileArgument, jobs: JobsOption = None, as_json: JsonOption = False) -> None:
    """Show exactly what `run` will do, touching nothing."""
    settings = configuration.load()
    made = prepare.plan(file, run_names(settings), settings=settings)
    with suppress(access.NoCredentialError):  # the plan says it; a run refuses
        access.check_access(made, settings)
    expected = forecast(made, settings, configuration.environment(), jobs)
    if as_json:
        print_json(plan_view.as_json(made, expected))
    else:
        out.print(plan_view.terminal(made, expected))


def _has_devcontainer(folder: Path) -> bool:
    return any((folder / name).exists() for name in (".devcontainer/devcontainer.json", ".devcontainer.json"))
