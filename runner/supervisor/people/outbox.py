"""What waits to be told to one recipient, and when it may be: pure.

One thing is told soon. What comes soon after it is told together, later: a night in which much goes wrong
must not ring once for each. In quiet hours nothing is told that is not urgent; what was held back is told
together at their end, or at the run's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from runner.recipients import Recipient
from runner.supervisor.people.notices import Notice

GAP = 120.0
"""Seconds at least between two messages, unless something is urgent."""

TOGETHER = 5.0
"""Seconds for which something waits for what else happens just then: often it is the end of the run."""

FIRST_PAUSE, LONGEST_PAUSE = 30.0, 1800.0
"""Seconds until a message is tried again that could not be sent, doubled from one time to the next."""

MOST = 50
"""So many notices wait; of more, the earliest are counted and no longer told."""


@dataclass(frozen=True)
class Outbox:
    """One recipient's. Moments are seconds of a clock that only goes forward.

    Attributes:
        recipient: Who it is.
        waiting: What is to be told, the earliest first.
        left_out: How many more there were than can wait.
        under_way: How many of those that wait are in a message that is being sent.
        not_before: When the next message may be sent, urgent ones aside.
        failures: How often in a row it could not be sent.
    """

    recipient: Recipient
    waiting: tuple[Notice, ...] = ()
    left_out: int = 0
    under_way: int = 0
    not_before: float = 0.0
    failures: int = 0

    def put(self, notice: Notice, now: float) -> Outbox:
        """With one more notice, if it is wanted; the first waits a little for what comes with it."""
        if notice.kind not in self.recipient.on or any(one.cause == notice.cause for one in self.waiting):
            return self
        not_before = self.not_before if self.waiting else max(self.not_before, now + TOGETHER)
        return replace(self, waiting=(*self.waiting, notice), not_before=not_before).bounded()

    def worth_it(self, wall: float) -> Outbox:
        """Without what need not be told any more."""
        if self.under_way or all(one.until is None or one.until > wall for one in self.waiting):
            return self
        waiting = tuple(one for one in self.waiting if one.until is None or one.until > wall)
        return replace(self, waiting=waiting)

    def bounded(self) -> Outbox:
        """With no more than can wait besides what is under way."""
        over = max(0, len(self.waiting) - self.under_way - MOST)
        waiting = self.waiting[: self.under_way] + self.waiting[self.under_way + over :]
        return replace(self, waiting=waiting, left_out=self.left_out + over)

    def due(self, now: float, wall: float) -> bool:
        """Whether a message is to be sent now.

        Args:
            now: By the clock that only goes forward.
            wall: By the clock on the wall, in seconds since the epoch: quiet hours are its.
        """
        if not self.waiting or self.under_way:
            return False
        ready = now >= self.not_before
        if any(notice.urgent for notice in self.waiting):
            return ready or not self.failures
        quiet = self.recipient.quiet is not None and self.recipient.quiet.ends(wall) is not None
        return ready and not quiet

    def sending(self) -> Outbox:
        """While everything that waits is in a message that is being sent."""
        return replace(self, under_way=len(self.waiting))

    def sent(self, now: float) -> Outbox:
        """After the message arrived."""
        rest = self.waiting[self.under_way :]
        return replace(self, waiting=rest, left_out=0, under_way=0, not_before=now + GAP, failures=0)

    def going_on(self, now: float) -> Outbox:
        """After the run's end was begun to be told, and it has not ended after all."""
        box = self.failed(now) if self.under_way else self
        return replace(box, waiting=tuple(one for one in box.waiting if one.kind != "end"))

    def failed(self, now: float) -> Outbox:
        """After it did not: it waits with the rest, and is tried again later."""
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2**self.failures)
        return replace(self, under_way=0, not_before=now + pause, failures=self.failures + 1).bounded()
