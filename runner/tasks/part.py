"""What every mapping of a task file is, as a model."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Part(BaseModel):
    """A mapping of the task file: frozen, without unknown keys, described key by key."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
