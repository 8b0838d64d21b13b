"""Counts what one grant uses, from any number of answers that run at the same time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import reduce

from runner.gateway.dialects.reading import UsageReader
from runner.gateway.grants import Tokens, Usage
from runner.tasks.plan import Spent

UNNAMED = "unknown"
"""Stands for the model of an answer that names none."""
OTHERS = "others"
MOST_MODELS = 32
"""Models counted by name, one after the other: some services answer with whatever name a box asked for."""


@dataclass
class Meter:
    """The counters of one grant; `settled` holds the tokens of answers that have ended, by model."""

    scripted: bool
    requests: int = 0
    untold: int = 0
    in_flight: int = 0
    last_activity: float | None = None
    last_status: int | None = None
    over_budget: Spent = ""
    limited: str = ""
    settled: dict[str, Tokens] = field(default_factory=dict)
    running: list[UsageReader] = field(default_factory=list)

    @classmethod
    def continuing(cls, usage: Usage, *, scripted: bool) -> Meter:
        """A meter that goes on from what was counted before."""
        return cls(
            scripted=scripted,
            requests=usage.requests,
            untold=usage.untold,
            last_activity=usage.last_activity,
            last_status=usage.last_status,
            over_budget=usage.over_budget,
            limited=usage.limited,
            settled=dict(usage.models),
        )

    def is_alive(self) -> None:
        """Note that the box has done something just now."""
        self.last_activity = time.time()

    @contextmanager
    def reading(self, reader: UsageReader | None) -> Iterator[UsageReader | None]:
        """Count what a reader reads, while it does and after it has ended one way or another."""
        if reader is None:
            yield None
            return
        self.running.append(reader)
        try:
            yield reader
        finally:
            self.running.remove(reader)
            reader.finish()
            self.untold += not reader.told
            self.settled = _with(self.settled, reader)

    def usage(self) -> Usage:
        """What has been used until this moment."""
        models = reduce(_with, self.running, self.settled)
        total = sum(models.values(), Tokens())
        return Usage(
            requests=self.requests,
            untold=self.untold,
            in_flight=self.in_flight,
            input=total.input,
            output=total.output,
            cache_read=total.cache_read,
            cache_write=total.cache_write,
            reasoning=total.reasoning,
            last_activity=self.last_activity,
            last_status=self.last_status,
            scripted=self.scripted,
            over_budget=self.over_budget,
            limited=self.limited,
            models=models,
        )


def _with(models: dict[str, Tokens], reader: UsageReader) -> dict[str, Tokens]:
    if reader.tokens == Tokens():
        return models
    name = reader.model or UNNAMED
    if name not in models and len(models) >= MOST_MODELS:
        name = OTHERS
    return models | {name: models.get(name, Tokens()) + reader.tokens}
