"""What every plain value of a plan, of a grant or of an event is."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Value(BaseModel):
    """A frozen value that refuses unknown fields and survives a round trip through JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid")
