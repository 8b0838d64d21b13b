"""Engines that do not answer: they are waited for, since what runs in boxes may go on without them.

An engine goes away when it is restarted, as an upgrade does, or hangs for a while on a busy host. Nothing of
what an attempt asked it for is known to have been done then, or not; so whoever asks looks again first.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Generator

from runner import names
from runner.sandbox.engine import Engine
from runner.supervisor import events as e
from runner.supervisor.attempt.spec import AttemptSpec, Orders, Rooms
from runner.supervisor.attempt.telling import signs_without_engine
from runner.supervisor.attempt.watch import TICK, Watched

PATIENCE = 15 * 60.0
"""Seconds for which an engine is waited for. One that is away for longer needs a person."""

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0
"""Seconds between two looks whether it answers, doubled from one to the next."""

SETTLED = 60.0
"""Seconds: an engine that goes away so soon after it came back was not back."""


class Outages:
    """The outages of the engine in one attempt's life.

    Attributes:
        happened: Whether there was any, so that what Corral has mounted and started there may be gone.
    """

    def __init__(self, spec: AttemptSpec, engine: Engine, orders: Orders) -> None:
        self.happened = False
        self._spec = spec
        self._engine = engine
        self._orders = orders
        self._began: float | None = None
        self._back: float | None = None
        self._since = 0.0
        self._pause = FIRST_PAUSE

    def outlast(
        self, seen: Watched, gives_up: Callable[[], bool] = lambda: False
    ) -> Generator[e.Event, None, bool]:
        """Wait until an engine answers that just did not; tells about once a second for what is waited.

        Args:
            seen: What was seen of the attempt's box before.
            gives_up: Whether it is not waited for any more; a person's stop always ends it.

        Returns:
            Whether it answers. If not, nobody waits for it any more, or it has been away for too long.
        """
        began = self._begin()
        while (left := began + PATIENCE - time.monotonic()) > 0:
            until = time.monotonic() + min(self._pause, left)
            self._pause = min(LONGEST_PAUSE, 2 * self._pause)
            while time.monotonic() < until:
                if self._orders.stop.is_set() or gives_up():
                    return False
                yield signs_without_engine(self._spec, time.time(), seen, self._since)
                self._orders.stop.wait(min(TICK, max(0.0, until - time.monotonic())))
            if self._engine.answers():
                self._back = time.monotonic()
                return True
        return False

    def _begin(self) -> float:
        """When the present outage began, by the monotonic clock."""
        now, self.happened = time.monotonic(), True
        if self._began is None or (self._back is not None and now - self._back > SETTLED):
            self._began, self._since, self._pause = now, time.time(), FIRST_PAUSE
        self._back = None
        return self._began


def end_late(rooms: Rooms, run: str, ended: Collection[str]) -> None:
    """End the containers that live on of attempts whose end is told: the engine was away for too long then.

    Args:
        rooms: Where they live.
        run: The run, of this process.
        ended: The names of these attempts.

    Raises:
        EngineError: One could not be ended.
    """
    for box in rooms.engine.find(names.label_filters(names.home_id(str(rooms.home)), run)):
        if box.labels.get(names.LABEL_ATTEMPT) in ended and names.is_ours(box.name, box.labels):
            rooms.engine.remove(box.id)
            rooms.engine.wait_gone(box.id)
