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


class Pause(Value):
    """Freeze these attempts, or, where none is named, all that lives, and start nothing until unpaused."""

    kind: Literal["pause"] = "pause"
    attempts: tuple[str, ...] = ()


class Unpause(Value):
    """Let these go on that were paused, or the whole run."""

    kind: Literal["unpause"] = "unpause"
    attempts: tuple[str, ...] = ()


Order = Annotated[Drain | Stop | Pause | Unpause, Field(discriminator="kind")]
ORDER: TypeAdapter[Order] = TypeAdapter(Order)
