"""How fast one account is asked for one family of models: a pure core, to which the time is passed in.

A request may go when nothing that is known stands against it: the limits that the service tells, less what is
on its way; a configured guess where the service tells nothing; and a number of requests at once, which grows
with each answer and is halved when the service turns one away (additive increase, multiplicative decrease).
Who goes next is decided between boxes, not requests: start-time fair queueing, by estimated tokens.
"""

from __future__ import annotations

import re
from bisect import insort
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from runner.accounts import Prior
from runner.gateway.grants import Tokens, Window
from runner.tasks.plan import Priority

START, MOST = 64.0, 512.0
"""Requests at once: in the beginning, and at most, where nobody has said how many."""

SHARE_OF_ONE = 0.75
"""Of the requests at once, what one box may have: there is always room for another."""

USUAL_OUTPUT = 4096
"""Tokens of an answer, at most, that are counted before it is there: few come near the bound set for them."""

EACH = 1000
"""What a request counts in the queue besides its tokens, in tokens: small ones are not free."""

FORGIVEN_AFTER = 600.0
"""Seconds without a request after which it is not known any more that a service fails."""

WEIGHTS: dict[Priority, float] = {"low": 0.25, "normal": 1.0, "high": 4.0}
"""How much of what is to be had a box gets beside one of normal priority."""

_FAMILIES = re.compile(r"(?:^|[^a-z])(opus|sonnet|haiku)(?:[^a-z]|$)")
_VERSION = re.compile(r"[-@](?:latest|preview|\d{8}|\d{4}-\d{2}-\d{2}|\d{2}-\d{2})$")
OTHERS = "others"
"""Stands for the model of a request that names none that could be one."""


def family(dialect: str, model: str) -> str:
    """The family of models that shares limits with a model: its class at Anthropic, else itself."""
    name = model.lower()
    if re.fullmatch(r"[a-z0-9][a-z0-9._:/@-]{0,63}", name) is None:
        return OTHERS
    found = _FAMILIES.search(name) if dialect == "anthropic" else None
    return found[1] if found else _VERSION.sub("", name)


@dataclass(eq=False)
class Ticket:
    """One request that waits for its turn, or is on its way; kept when it is sent again."""

    box: str
    input: int
    """Tokens, estimated."""
    output: int
    weight: float = 1.0
    not_before: float = 0.0
    tag: float | None = None
    sent_at: float = 0.0
    answered: bool = False
    opened_after: float = 0.0
    """The window's reset that its turn was put off to."""

    @property
    def size(self) -> int:
        """What it counts in the queue."""
        return EACH + self.input + self.output


@dataclass
class Bucket:
    """One limit of so much in so much time, as it was told, or guessed, at a time."""

    limit: float
    remaining: float
    read_at: float
    rate: float
    """How much comes back in a second."""
    told: bool = True

    @classmethod
    def of(cls, window: Window, now: float) -> Bucket | None:
        """The bucket that a window tells of, if it tells enough."""
        if window.limit is None or window.remaining is None:
            return None
        limit, remaining = float(window.limit), float(window.remaining)
        lasts = None if window.resets_at is None else window.resets_at - now
        rate = (limit - remaining) / lasts if lasts is not None and lasts > 0 else limit / 60
        return cls(limit, remaining, now, max(rate, limit / 86400))

    def room(self, now: float) -> float:
        """How much is left."""
        return min(self.limit, self.remaining + self.rate * max(0.0, now - self.read_at))

    def take(self, amount: float, now: float) -> None:
        """Take something out of one that nobody tells anything of."""
        self.remaining, self.read_at = self.room(now) - amount, now


@dataclass
class Shared:
    """What all families of one account share: how many requests it may have at once."""

    at_once: float = MOST
    in_flight: int = 0


@dataclass
class Lane:
    """One account and family. `at_once` is how many requests may be on their way just now."""

    prior: Prior = field(default_factory=Prior)
    shared: Shared = field(default_factory=Shared)
    at_once: float = START
    growing: bool = True
    """Whether no request was turned away yet: then the number at once doubles rather than creeps."""
    lowered_at: float = 0.0
    paused_until: float = 0.0
    failing_since: float | None = None
    failed_at: float = 0.0
    share: float = 1.0
    """Of the tokens that are estimated, how many count in the end: what is read from a cache doesn't."""
    windows: dict[str, Window] = field(default_factory=dict)
    used_at: float = 0.0

    def __post_init__(self) -> None:
        self._buckets: dict[str, Bucket] = {}
        self._waiting: dict[str, list[Ticket]] = {}
        self._flying: dict[str, list[Ticket]] = {}
        self._finish: dict[str, float] = {}
        self._virtual = 0.0
        self._minute: deque[tuple[float, int]] = deque(maxlen=1024)
        for name, limit in (("requests", self.prior.requests), ("tokens", self.prior.tokens)):
            if limit is not None:
                self._buckets[name] = Bucket(limit, limit, 0.0, limit / 60, told=False)

    # -- the queue

    def join(self, ticket: Ticket) -> None:
        """Let a request wait for its turn; one that is back keeps its place."""
        if ticket.tag is None:
            ticket.tag = max(self._virtual, self._finish.get(ticket.box, 0.0))
            self._finish[ticket.box] = ticket.tag + ticket.size / ticket.weight
        insort(self._waiting.setdefault(ticket.box, []), ticket, key=lambda one: one.tag or 0.0)

    def leave(self, ticket: Ticket) -> None:
        """Take back a request that waits."""
        queue = self._waiting.get(ticket.box, [])
        if ticket in queue:
            queue.remove(ticket)
        if not queue:
            self._waiting.pop(ticket.box, None)
            self._forget()

    def next(self, now: float) -> Ticket | None:
        """Send the request whose turn it is, if one may go now."""
        if now < self.paused_until:
            return None
        best = min(self._ready(now), key=lambda one: one.tag or 0.0, default=None)
        if best is None or not self._has_place or self._room_at(best, now) > now:
            return None
        self.leave(best)
        self._virtual = max(self._virtual, best.tag or 0.0)
        best.sent_at, best.answered, self.used_at = now, False, now
        self._flying.setdefault(best.box, []).append(best)
        self.shared.in_flight += 1
        for name, bucket in self._buckets.items():
            if not bucket.told:
                bucket.take(self._need(name, best), now)
        return best

    def wakes_at(self, now: float) -> float | None:
        """When to look again; None if something must end, or come, before anything changes."""
        if not self._waiting:
            return None
        if now < self.paused_until:
            return self.paused_until
        times = [one.not_before for one in self.waiting() if one.not_before > now]
        best = min(self._ready(now), key=lambda one: one.tag or 0.0, default=None)
        if best is not None and self._has_place:
            times.append(self._room_at(best, now))
        return min(times, default=None)

    def waiting(self) -> Iterator[Ticket]:
        """Every request that waits."""
        for queue in self._waiting.values():
            yield from queue

    @property
    def is_idle(self) -> bool:
        """Whether nobody waits, and nothing is on its way."""
        return not self._waiting and not self._flying

    @property
    def in_flight(self) -> int:
        """Requests on their way."""
        return sum(map(len, self._flying.values()))

    def _ready(self, now: float) -> Iterator[Ticket]:
        """Of each box that has a place left, the first whose pause is over."""
        most = max(1.0, self.at_once * SHARE_OF_ONE)
        for box, queue in self._waiting.items():
            if len(self._flying.get(box, ())) + 1 <= most:
                first = next((one for one in queue if one.not_before <= now), None)
                if first is not None:
                    yield first

    @property
    def _has_place(self) -> bool:
        return self.in_flight + 1 <= self.at_once and self.shared.in_flight + 1 <= self.shared.at_once

    def _forget(self) -> None:
        if not self._waiting:  # nobody is behind anybody any more
            self._finish.clear()
            self._virtual = 0.0

    # -- the limits

    def _need(self, name: str, ticket: Ticket) -> float:
        if name == "requests":
            return 1
        made = ticket.output if name in ("tokens", "output-tokens") else 0
        return made + (0 if name == "output-tokens" else ticket.input * self.share)

    def _room_at(self, ticket: Ticket, now: float) -> float:
        """When every limit has room for a request, as far as can be foreseen."""
        return max((self._bucket_room_at(name, ticket, now) for name in self._buckets), default=now)

    def _bucket_room_at(self, name: str, ticket: Ticket, now: float) -> float:
        bucket = self._buckets[name]
        room = bucket.room(now)
        if bucket.told:  # what is on its way unanswered is not in what was told
            away = (one for flying in self._flying.values() for one in flying if not one.answered)
            room -= sum(self._need(name, one) for one in away)
        need = min(self._need(name, ticket), bucket.limit)
        if room >= need - 1e-6:
            return now
        return now + min(max((need - room) / bucket.rate, 0.05), 60.0)

    # -- what comes back

    def answered(self, ticket: Ticket, windows: tuple[Window, ...], now: float) -> None:
        """Its answer has begun, whatever it is, and says this of the limits."""
        ticket.answered = True
        for window in windows:
            self.windows[window.name] = window
            bucket = Bucket.of(window, now)
            if bucket is not None:
                self._buckets[window.name] = bucket

    def went_well(self) -> None:
        """The service has taken it: a little more may be asked at once."""
        self.failing_since = None
        if self.in_flight * 2 >= self.at_once:
            self.at_once = min(MOST, self.at_once + (1.0 if self.growing else 1.0 / self.at_once))

    def failed(self, now: float) -> None:
        """The service has failed to answer, in whatever way."""
        if self.failing_since is None or now - self.failed_at > FORGIVEN_AFTER:
            self.failing_since = now
        self.failed_at = now

    def turned_away(self, ticket: Ticket, retry_at: float | None, now: float) -> None:
        """The service has too much to do, or says so: half as much at once, once for all that were sent."""
        if ticket.sent_at >= self.lowered_at:
            self.at_once = max(1.0, min(self.at_once, float(self.in_flight)) / 2)
            self.growing, self.lowered_at = False, now
        if retry_at is not None:
            self.paused_until = max(self.paused_until, retry_at)

    def ended(self, ticket: Ticket, used: Tokens | None, now: float) -> None:
        """It is not on its way any more, and used so much, where that is known."""
        flying = self._flying.get(ticket.box, [])
        if ticket in flying:
            flying.remove(ticket)
            self.shared.in_flight -= 1
        if not flying:
            self._flying.pop(ticket.box, None)
        self.used_at = now
        if used is None or used == Tokens():
            return
        counted = used.input + used.cache_write
        if ticket.input:
            self.share += 0.2 * (min(2.0, max(0.02, counted / ticket.input)) - self.share)
        self._minute.append((now, counted + used.cache_read + used.output))

    def per_minute(self, now: float) -> int:
        """Tokens used in the last minute."""
        while self._minute and self._minute[0][0] < now - 60:
            self._minute.popleft()
        return sum(tokens for _, tokens in self._minute)
