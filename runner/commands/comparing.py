"""The command that compares: which settings were better, and whether that can be believed."""

from __future__ import annotations

from rich.console import Group

from runner import settings as configuration
from runner.commands.words import JsonOption, RunArgument, out, print_json
from runner.errors import UsageError
from runner.supervisor.records import find_run
from runner.supervisor.scoring import comparison
from runner.views import comparison as view
from runner.views import report


def compare(name: RunArgument = "latest", as_json: JsonOption = False) -> None:
    """Compare the profiles of a run: how often each is accepted, and whether chance explains a difference."""
    state = find_run(configuration.load(), name)
    if not state.plan.compared:
        cure = "name the profiles in the task file: `compare: {agents: [one, other], repeats: 3}`"
        raise UsageError(f"the run {state.name} compares nothing", cure=cure)
    found = comparison(state)
    if as_json:
        print_json(view.as_json(state, found))
    else:
        out.print(Group(report.headline(state), *view.terminal(state, found)))
