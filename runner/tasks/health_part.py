"""`health:` in a task file: for how long which condition of an agent is borne, and what is done then."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import model_validator

from runner.tasks.fields import RefusedError, Seconds
from runner.tasks.part import Part
from runner.tasks.plan import Then

HARMLESS: frozenset[Then] = frozenset({"nothing", "notify"})
"""What may be done while a provider's limit holds an agent: ending it then is `on_limit: stop`."""


class PatiencePart(Part):
    """For how long one condition is borne, and what is done then."""

    after: Seconds | None = None
    """For how long, like 20min."""
    then: Then | None = None
    """`nothing`, `notify` (tell a person), `nudge` (it goes on in a new box), `stop`, or `retry`."""


class HealthPart(Part):
    """What differs from the table of conditions."""

    waiting_for_the_model: PatiencePart | None = None
    """A request is under way, and nothing of its answer comes."""
    held_by_a_limit: PatiencePart | None = None
    """Its requests wait for a limit or a service; `nothing` or `notify` alone."""
    running_a_tool: PatiencePart | None = None
    """A tool of its own that it runs shows no sign of life."""
    quiet_but_busy: PatiencePart | None = None
    """It says nothing and uses CPU."""
    looping: PatiencePart | None = None
    """It does the same again and again, or prints without any effect."""
    waiting_for_a_person: PatiencePart | None = None
    """It asked a person."""
    hung: PatiencePart | None = None
    """No sign of life; as `limits.idle` by default."""
    dead_inside: PatiencePart | None = None
    """Its processes have ended, and its main process does not notice."""
    gateway_unreachable: PatiencePart | None = None
    """The gateway does not answer, and the agent can't go on without."""
    first_output: PatiencePart | None = None
    """An agent's CLI printed nothing at all since it was started."""

    @model_validator(mode="after")
    def _limits_are_no_fault(self) -> HealthPart:
        held = self.held_by_a_limit
        if held is not None and held.then is not None and held.then not in HARMLESS:
            raise RefusedError(
                f"`{held.then}` of an agent that is held by a limit",
                "write `on_limit: stop` for the whole file",
            )
        return self

    def over(self, other: HealthPart) -> Mapping[str, Mapping[str, float | str]]:
        """What is said here, and where nothing is, what `other` says: by condition."""
        mine, others = self.model_dump(exclude_none=True), other.model_dump(exclude_none=True)
        return {name: others.get(name, {}) | mine.get(name, {}) for name in {**others, **mine}}
