"""The command that compares: which settings were better, and whether that can be believed."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Group
from rich.text import Text

from runner import settings as configuration
from runner.commands.words import JsonOption, RunArgument, out, print_json
from runner.compare.audit import discounted
from runner.errors import UsageError
from runner.supervisor.morning.judged import Judged, judged
from runner.supervisor.records import find_run
from runner.supervisor.state import RunState
from runner.views import comparison as view
from runner.views import fairness, report


def compare(
    name: RunArgument = "latest",
    include_unfair: Annotated[
        bool,
        typer.Option(
            "--include-unfair", help="Count what the audit leaves out, and cheats as what their checks said."
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Compare the profiles of a run: how often each is accepted, and whether chance explains a difference."""
    state = find_run(configuration.load(), name)
    if not state.plan.compared:
        cure = "name the profiles in the task file: `compare: {agents: [one, other], repeats: 3}`"
        raise UsageError(f"the run {state.name} compares nothing", cure=cure)
    found = judged(state, include_unfair=include_unfair)
    if as_json:
        print_json(for_programs(state, found, include_unfair=include_unfair))
        return
    out.print(Group(report.headline(state), *view.terminal(state, found.comparison)))
    if include_unfair:
        out.print(Text("counted as it is, whatever the audit found, at your word", "yellow"))
    else:
        out.print(Group(*fairness.terminal(state)))


def for_programs(state: RunState, found: Judged, *, include_unfair: bool = False) -> dict[str, object]:
    """A comparison, and what the audit made of it, for programs."""
    counts = {} if include_unfair else discounted(found.audit)
    rows = view.as_json(state, found.comparison)
    more = {"include_unfair": include_unfair, "audit": fairness.as_json(found.audit)}
    return {**rows, "discounted": dict(counts), **more}
