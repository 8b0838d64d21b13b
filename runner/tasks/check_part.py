"""`check:` of a task: one command, or several by name, each with its own limits and report."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field

from runner.tasks.checks import ONLY
from runner.tasks.fields import Command, Cpus, Id, Memory, Seconds, TreePath
from runner.tasks.part import Part

MOST_RUNS = 9
"""Who wants a check to be run more often has another question."""
MOST_CHECKS = 20


class CheckPart(Part):
    """One check: a command in a clean container on the work, without any network."""

    run: Command
    """The command (for `sh -c`); exit 0 passes. `$CORRAL_JUNIT` names a file for a JUnit report."""
    junit: TreePath | None = None
    """Where the command writes a JUnit report by itself; one that writes none then does not pass."""
    runs: Annotated[int, Field(strict=True, ge=1, le=MOST_RUNS)] = 1
    """How often it is run at least; what most runs say counts, and `flaky` is said where they differ."""
    time: Seconds | None = None
    """Its time; as `limits.time` by default."""
    memory: Memory | None = None
    """Its memory, at most `limits.memory`, which is the default."""
    cpus: Cpus | None = None
    """Its CPUs, at most `limits.cpus`, which is the default."""


def _by_name(value: object) -> object:
    """Whatever way it is written, as a mapping of names to checks."""
    if isinstance(value, str):
        return {ONLY: {"run": value}}
    if not isinstance(value, dict):
        return value
    if "run" in value:
        return {ONLY: value}
    return {name: {"run": one} if isinstance(one, str) else one for name, one in value.items()}


Checks = Annotated[
    dict[Id, CheckPart],
    Field(min_length=1, max_length=MOST_CHECKS),
    BeforeValidator(_by_name, json_schema_input_type=Command | CheckPart | dict[Id, Command | CheckPart]),
]
