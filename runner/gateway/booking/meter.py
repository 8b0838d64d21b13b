"""Counts what one grant uses, from any number of answers that run at the same time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import reduce

from runner.gateway.dialects.reading import UsageReader
from runner.gateway.grants import Answered, Held, Replayed, Tokens, Usage
from runner.tasks.plan import Spent

UNNAMED = "unknown"
"""Stands for the model of an answer that names none."""
OTHERS = "others"
MOST_MODELS = 32
"""Models counted by name, one after the other: some services answer with whatever name a box asked for."""

LONGEST_NAME = 128
"""Characters that are kept of a model's name; no service has one that is half as long."""


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
    held_before: float = 0.0
    """Seconds, of stretches that are over."""
    replayed: Replayed | None = None
    settled: dict[str, Tokens] = field(default_factory=dict)
    answered: dict[tuple[str, str], int] = field(default_factory=dict)
    """How many requests for one model were answered in the name of another, or of the same."""
    running: list[UsageReader] = field(default_factory=list)
    waiting: dict[object, Held] = field(default_factory=dict)
    """What each request waits for that is held back."""
    clock: Callable[[], float] = time.monotonic
    held_since: float | None = None

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
            held_before=usage.held_s,
            replayed=usage.replayed,
            settled=dict(usage.models),
            answered={(one.asked, one.named): one.requests for one in usage.answered},
        )

    @contextmanager
    def asked(self) -> Iterator[None]:
        """Count a request that the box has under way."""
        self.in_flight += 1
        self.last_activity = time.time()
        self._note()
        try:
            yield
        finally:
            self.in_flight -= 1
            self.last_activity = time.time()
            self._note()

    @contextmanager
    def holding(self, request: object, held: Held) -> Iterator[None]:
        """Note that one of the box's requests waits in the gateway, and for what."""
        self.waiting[request] = held
        self._note()
        try:
            yield
        finally:
            del self.waiting[request]
            self._note()

    def _note(self) -> None:
        """Begin or end a stretch in which the box waits for nothing but the gateway."""
        is_held = 0 < self.in_flight <= len(self.waiting)
        if is_held and self.held_since is None:
            self.held_since = self.clock()
        elif not is_held and self.held_since is not None:
            self.held_before += self.clock() - self.held_since
            self.held_since = None

    @property
    def is_answered(self) -> bool:
        """Whether more than waiting is under way: something that may come to its end."""
        return self.in_flight > len(self.waiting)

    @property
    def held_s(self) -> float:
        """Seconds in which the box had asked, and all that it had asked waited in the gateway."""
        running = 0.0 if self.held_since is None else self.clock() - self.held_since
        return self.held_before + running

    @property
    def held(self) -> Held | None:
        """What its requests wait for, if all of them wait: of several things, what lasts longest."""
        if self.held_since is None:
            return None
        return max(self.waiting.values(), key=lambda held: held.until or 0)

    def is_alive(self) -> None:
        """Note that the box has done something just now."""
        self.last_activity = time.time()

    def replays(self, told: Replayed) -> None:
        """Note what an answer told of the recording that it comes from."""
        self.replayed = told.after(self.replayed)

    @contextmanager
    def reading(self, reader: UsageReader | None, asked: str = "") -> Iterator[UsageReader | None]:
        """Count what a reader reads, while it does and after it has ended one way or another.

        Args:
            reader: Reads the answer; None for one that does not count.
            asked: The model that the request is for; empty where it names none.
        """
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
            if asked and reader.model:
                self._is_answered_by(asked, reader.model)

    def _is_answered_by(self, asked: str, named: str) -> None:
        pair = (asked[:LONGEST_NAME], named[:LONGEST_NAME])
        if pair not in self.answered and len(self.answered) >= MOST_MODELS:
            pair = (OTHERS, OTHERS)
        self.answered[pair] = self.answered.get(pair, 0) + 1

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
            held_s=self.held_s,
            held=self.held,
            replayed=self.replayed,
            models=models,
            answered=tuple(
                Answered(asked=asked, named=named, requests=count)
                for (asked, named), count in self.answered.items()
            ),
        )


def _with(models: dict[str, Tokens], reader: UsageReader) -> dict[str, Tokens]:
    if reader.tokens == Tokens():
        return models
    name = reader.model or UNNAMED
    if name not in models and len(models) >= MOST_MODELS:
        name = OTHERS
    return models | {name: models.get(name, Tokens()) + reader.tokens}
