"""What happens in a run, as typed values: the rows of the journal.

The state of a run is folded from these and from nothing else. Times (`at`) are seconds since the epoch;
sizes are bytes. `Signs` is the exception: it is shown, and not journaled.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from runner.supervisor.verdict import Check, Ended, Verdict, Work
from runner.tasks.plan import Plan, Value


class Happened(Value):
    """Common to all events."""

    at: float


class RunStarted(Happened):
    """A run began; the plan is all that it will do."""

    kind: Literal["run.started"] = "run.started"
    plan: Plan
    jobs: int
    weaker: tuple[str, ...] = ()


class RunResumed(Happened):
    """A later process took the run up again."""

    kind: Literal["run.resumed"] = "run.resumed"
    jobs: int


class ImageReady(Happened):
    """The image of a source, for one agent CLI, is there."""

    kind: Literal["image.ready"] = "image.ready"
    source: int
    cli: str | None
    image: str


class ImageFailed(Happened):
    """The image of a source could not be prepared: what needs it ends as infrastructure."""

    kind: Literal["image.failed"] = "image.failed"
    source: int
    cli: str | None
    reason: str


class Draining(Happened):
    """A person asked that nothing new be started."""

    kind: Literal["run.draining"] = "run.draining"


class Stopping(Happened):
    """A person asked that what runs be stopped and its work brought home."""

    kind: Literal["run.stopping"] = "run.stopping"


class RunEnded(Happened):
    """The run is over."""

    kind: Literal["run.ended"] = "run.ended"
    exit_code: int


class OfAttempt(Happened):
    """Common to the events of one attempt; `attempt` is `TASK/PROFILE/N[.TRY]`."""

    attempt: str


class AttemptStarted(OfAttempt):
    """An attempt's life began, from the commit `base`."""

    kind: Literal["attempt.started"] = "attempt.started"
    box: str
    base: str


class BoxStarted(OfAttempt):
    """Its container runs."""

    kind: Literal["attempt.running"] = "attempt.running"
    container: str


class AttemptEnded(OfAttempt):
    """What became of the agent, measured on the host's side. Unknown figures are None."""

    kind: Literal["attempt.ended"] = "attempt.ended"
    ended: Ended
    reason: str = ""
    exit_code: int | None = None
    seconds: float | None = None
    peak_memory: int | None = None
    cpu_seconds: float | None = None
    requests: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    flags: tuple[str, ...] = ()


class AttemptGathered(OfAttempt):
    """What came home."""

    kind: Literal["attempt.gathered"] = "attempt.gathered"
    work: Work
    reason: str = ""
    branch: str | None = None
    commit: str | None = None
    files: int | None = None
    insertions: int | None = None
    deletions: int | None = None
    kept: str | None = None
    """Where the files were saved, if they could not come home as a branch."""
    flags: tuple[str, ...] = ()


class AttemptChecked(OfAttempt):
    """What the check said."""

    kind: Literal["attempt.checked"] = "attempt.checked"
    check: Check
    reason: str = ""
    exit_code: int | None = None
    seconds: float | None = None


class AttemptFinal(OfAttempt):
    """The attempt is judged, and nothing of it is left but its branch and its record."""

    kind: Literal["attempt.final"] = "attempt.final"
    verdict: Verdict
    reason: str = ""
    again: bool = False
    """Whether another try follows."""


class Signs(OfAttempt):
    """Signs of life, for looking at: not journaled."""

    kind: Literal["attempt.signs"] = "attempt.signs"
    stage: str
    doing: str | None = None
    cpu: float | None = None
    memory: int | None = None
    tokens: int | None = None


class ImageLine(Happened):
    """A line of an image's build output, for looking at: not journaled."""

    kind: Literal["image.line"] = "image.line"
    source: int
    cli: str | None
    line: str


Event = Annotated[
    RunStarted
    | RunResumed
    | ImageReady
    | ImageFailed
    | Draining
    | Stopping
    | RunEnded
    | AttemptStarted
    | BoxStarted
    | AttemptEnded
    | AttemptGathered
    | AttemptChecked
    | AttemptFinal
    | Signs
    | ImageLine,
    Field(discriminator="kind"),
]
PASSING = (Signs, ImageLine)
"""Events that are shown and not kept."""

ADAPTER: TypeAdapter[Event] = TypeAdapter(Event)
