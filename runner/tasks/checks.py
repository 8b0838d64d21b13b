"""What decides about work: commands that are run on it, and files that only these commands see."""

from __future__ import annotations

from runner.tasks.value import Value

JUNIT = "CORRAL_JUNIT"
"""The variable of a check's box that names the file for its report."""
ONLY = "check"
"""What a check is called that has no name."""


class CheckSpec(Value):
    """One check: a command that is run on work in a clean container, by `sh -c`."""

    name: str = ONLY
    run: str
    junit: str | None = None
    """Where in the tree it writes a JUnit report by itself."""
    runs: int = 1
    """How often it is run at least."""
    time: float | None = None
    """Seconds; as the task's own time by default, as the others are."""
    memory: int | None = None
    cpus: float | None = None

    @property
    def reports(self) -> bool:
        """Whether it is to write a JUnit report: one that passes and wrote none has proved nothing."""
        return self.junit is not None or JUNIT in self.run


class Hidden(Value):
    """Files that checks find laid over the work and that no agent sees."""

    path: str
    """The directory on the host, absolute."""
    digest: str = ""
    """Of all its files, with their names: what is laid over is what was there when the run was planned."""


def told_before(told: object) -> object:
    """A task as a plan tells it, where that may be of an earlier version: it named one command, `check`.

    Such a plan knew of no base that is checked, too.
    """
    if not isinstance(told, dict) or "check" not in told:
        return told
    rest = {name: value for name, value in told.items() if name != "check"}
    if told["check"] is None:
        return rest
    return {"check_base": False} | rest | {"checks": ({"run": told["check"]},)}
