"""The task file: each bug a task, checked by the tests that it hides and by those that the base had."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.truth import agents
from tests.truth.bugs import Bug
from tests.truth.making import HIDDEN_AT

PYTEST = "PYTHONPATH=src python3 -m pytest -q -o addopts= -p no:cacheprovider"
SETUP = ["pip install pytest==8.4.2"]
LIMITS = {"cpus": 1, "memory": "512MiB", "pids": 128, "disk": "1GiB", "time": "2min", "idle": "1min"}


def checks(bug: Bug) -> dict[str, str]:
    """What decides about a bug, by name: `fixed` for its own tests, `kept` for those that passed before."""
    named = {"fixed": [f"{HIDDEN_AT}/{test}" for test in bug.tests], "kept": [bug.step.own_tests]}
    return {name: f'{PYTEST} --junitxml="$CORRAL_JUNIT" {shlex.join(tests)}' for name, tests in named.items()}


def night(
    bugs: Sequence[Bug],
    places: Mapping[str, tuple[Path, Path]],
    models: Sequence[str],
    repeats: int,
) -> dict[str, Any]:
    """The task file's content.

    Args:
        bugs: What to do.
        places: By the name of a step: its repository, and the folder with its hidden tests.
        models: Which models are compared; each is a profile of the same name.
        repeats: How often each does each.
    """
    return {
        "setup": SETUP,
        "limits": LIMITS,
        "prices": {model: dict(agents.PRICE) for model in models},
        "agents": {model: agents.profile(model) for model in models},
        "compare": {"agents": list(models), "repeats": repeats},
        "tasks": [
            {
                "id": bug.id,
                "repo": str(places[bug.step.name][0]),
                "base": "main",
                "prompt": bug.report,
                "check": checks(bug),
                "protect": [bug.step.own_tests],
                "hidden": places[bug.step.name][1].name,
            }
            for bug in bugs
        ],
    }
