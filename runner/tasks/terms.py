"""On what terms an attempt works: what it may use, for how long what is borne, and when it is tried again."""

from __future__ import annotations

from typing import Literal

from runner.tasks.value import Value

GIB = 1024**3


class Limits(Value):
    """What one attempt may use. `time` counts working time; `idle` is time without a sign of life."""

    cpus: float = 2.0
    memory: int = 4 * GIB
    pids: int = 512
    disk: int = 10 * GIB
    time: float = 45 * 60.0
    idle: float = 10 * 60.0


class Retry(Value):
    """When an attempt is tried again by itself; the defaults are those of plans that say nothing of it."""

    infrastructure: int = 1
    """How often after a failure that is ours, or the engine's."""
    pause: float = 0.0
    """Seconds before the first of these; each further one is later (`supervisor.retrying`)."""
    feedback: int = 0
    """How often after a rejected check or an agent's error, of which the agent is told."""
    session: Literal["resume", "fresh"] = "resume"
    """Whether such a try goes on with the conversation and the work of the one before, or begins anew."""
    memory: int | None = None
    """Bytes that it gets in one more try after it ran out of memory; None for no such try."""


Then = Literal["nothing", "notify", "nudge", "stop", "retry"]
"""What is done about an agent's condition: see `Health`."""


class Patience(Value):
    """For how long a condition is borne, in seconds, and what is done then; None is what the table says."""

    after: float | None = None
    then: Then | None = None


class Health(Value):
    """What differs from the table of conditions (`supervisor.attempt.health.PATIENCE`), by condition.

    `nothing` is done, a person is told (`notify`), the agent is interrupted and goes on in a new box
    (`nudge`), it is ended and its work comes home (`stop`), or the same, and it is tried again (`retry`).
    """

    waiting_for_the_model: Patience = Patience()
    held_by_a_limit: Patience = Patience()
    running_a_tool: Patience = Patience()
    quiet_but_busy: Patience = Patience()
    looping: Patience = Patience()
    waiting_for_a_person: Patience = Patience()
    hung: Patience = Patience()
    dead_inside: Patience = Patience()
    gateway_unreachable: Patience = Patience()
    first_output: Patience = Patience()
