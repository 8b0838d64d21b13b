"""The command that takes a branch of Corral's away."""

from __future__ import annotations

import shlex
from typing import Annotated

import typer
from rich.text import Text

from runner import settings as configuration
from runner.commands.words import INTEGRATION, JsonOption, out, print_json
from runner.errors import UsageError
from runner.supervisor import discarding
from runner.supervisor.morning.chosen import integrations
from runner.supervisor.records import find_run
from runner.views.inert import block


def discard(
    attempt: Annotated[str, typer.Argument(help="TASK[/PROFILE[/N[.TRY]]]")],
    name: Annotated[str, typer.Option("--run", help="The run.")] = "latest",
    as_json: JsonOption = False,
) -> None:
    """Delete an attempt's branch; commits that exist nowhere else are put aside first, as a bundle."""
    settings = configuration.load()
    state = find_run(settings, name)
    if attempt == INTEGRATION:
        there = [
            f"`{shlex.join(('git', '-C', source.repo, 'branch', '-D', one.branch or ''))}`"
            for source, one in integrations(state)
        ]
        said = f"{INTEGRATION} is no attempt's: `corral integrate {state.name}` makes it anew"
        raise UsageError(said, cure=f"{', '.join(there)} deletes it")
    found, told = discarding.discard(settings.home, state.name, attempt)
    if as_json:
        print_json(
            {
                "run": state.name,
                "attempt": str(found.key),
                "branch": told.branch,
                "commit": told.commit,
                "repo": state.plan.sources[state.plan.task(found.key.task).source].repo,
                "bundle": told.bundle,
                "elsewhere": list(told.elsewhere),
            }
        )
        return
    rows = [f"{told.branch} is gone ({found.key}, {found.verdict})"]
    if told.bundle is not None:
        again = discarding.back(state, found, told.bundle)
        rows += [f"its commits are in {told.bundle}", f"back again, as the branch NAME:  {again}"]
    elif told.elsewhere:
        rows.append(f"its commit {told.commit[:12]} is in {', '.join(told.elsewhere)}")
    else:
        rows.append(f"its commit {told.commit[:12]} was not there any more")
    for row in rows:
        out.print(Text(block(row)), soft_wrap=True)
