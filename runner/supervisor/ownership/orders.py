"""Orders: what people want of a run that another process works on, or that nobody works on just now.

They are kept in the journal until they are heeded, so that none is lost when a supervisor dies. Those of a
run that nobody works on are heeded once it is resumed.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from runner.tasks.plan import Value


class Drain(Value):
    """Let what runs come to its end, and start nothing new."""

    kind: Literal["drain"] = "drain"


class Stop(Value):
    """End what runs; its work comes home."""

    kind: Literal["stop"] = "stop"


class Answer(Value):
    """A person answers the question of that number."""

    kind: Literal["answer"] = "answer"
    question: int
    text: str


class Retry(Value):
    """Try an attempt again that ended."""

    kind: Literal["retry"] = "retry"
    attempt: str
    """`TASK/PROFILE/N`; its last try is what it goes on from."""
    session: Literal["resume", "fresh"] | None = None
    """Whether it goes on with the conversation and the work; by default as its task says."""
    memory: int | None = None
    """Its memory limit in bytes; by default as much as it had."""
    note: str = ""
    """What its agent is told besides."""


class Decide(Value):
    """Settle a task that no attempt served: go on without it, or with the work of one of them."""

    kind: Literal["decide"] = "decide"
    task: str
    what: Literal["skip", "use"]
    attempt: str | None = None
    """Whose work is used, `TASK/PROFILE/N[.TRY]`."""


class Pause(Value):
    """Freeze these attempts, or, where none is named, all that lives, and start nothing until unpaused."""

    kind: Literal["pause"] = "pause"
    attempts: tuple[str, ...] = ()


class Unpause(Value):
    """Let these go on that were paused, or the whole run."""

    kind: Literal["unpause"] = "unpause"
    attempts: tuple[str, ...] = ()


Order = Annotated[Answer | Drain | Stop | Retry | Decide | Pause | Unpause, Field(discriminator="kind")]
ORDER: TypeAdapter[Order] = TypeAdapter(Order)
