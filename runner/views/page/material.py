"""All that the page is made of, as one frozen value: what is drawn is decided by it alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import tzinfo
from functools import cached_property
from itertools import accumulate
from typing import Literal

from runner.compare.audit import Audit, discounted
from runner.compare.scored import Comparison
from runner.gather.conflicts import Matrix
from runner.names import AttemptKey
from runner.supervisor.attempt.samples import Course
from runner.supervisor.events import Shut
from runner.supervisor.scoring import left_out
from runner.supervisor.state import RunState
from runner.supervisor.tried import AttemptState

Stage = Literal["waiting", "preparing", "working", "held", "frozen", "checking"]
"""What an attempt's time goes into. `held` is the time between two of its boxes: a limit of its provider's, a
machine that stopped. `checking` begins when its agent has ended: gathering, checking, cleaning."""


@dataclass(frozen=True)
class Span:
    """A stretch of an attempt's time, in seconds since the epoch."""

    stage: Stage
    start: float
    end: float
    why: str = ""

    @property
    def seconds(self) -> float:
        return self.end - self.start


@dataclass(frozen=True)
class Moment:
    """Something that happened, in words."""

    at: float
    words: str


@dataclass(frozen=True)
class Step:
    """One thing of an agent's output: what it `said`, what it `did`, what it `got` as an answer."""

    kind: Literal["said", "did", "got"]
    words: str


@dataclass(frozen=True)
class Read:
    """Text that may be cut: what of it was read, and whether that is all."""

    text: str = ""
    whole: bool = True


@dataclass(frozen=True)
class Shown:
    """One try of an attempt, with what is read of it.

    Attributes:
        state: What the journal says of it.
        spans: Where its time went, in order and without overlap.
        moments: What happened to it.
        steps: What its agent did, condensed; None stands for what was left out.
        output: The end of what it printed, where that is not told in steps.
        diff: What it changed.
        check: The end of what its check printed.
        course: What its boxes used over its life.
    """

    state: AttemptState
    spans: tuple[Span, ...] = ()
    moments: tuple[Moment, ...] = ()
    steps: tuple[Step | None, ...] = ()
    output: Read = Read()
    diff: Read = Read()
    check: Read = Read()
    course: Course | None = None

    @property
    def key(self) -> AttemptKey:
        return self.state.key

    @property
    def name(self) -> str:
        return str(self.state.key)


@dataclass(frozen=True)
class Spending:
    """What the requests of a run had cost until a moment; `usd` is None where a part has no known price."""

    at: float
    usd: float | None
    tokens: int


@dataclass(frozen=True)
class Material:
    """A run, and everything that is shown of it.

    Attributes:
        state: The run, folded from its events.
        now: When this was gathered, in seconds since the epoch.
        attempts: Its attempts, each try for itself, as the task file is written.
        moments: What happened to the run as a whole.
        spending: What was spent, over time; empty where nothing is known of it.
        shut: For whom which window of a provider's was closed, each until it opened.
        comparison: Profiles side by side; None where nothing is compared.
        audit: What was found of fairness and honesty; None where nobody looked.
        matrices: By repository, how accepted branches meet; empty where nobody looked.
        zone: Whose clock times are told by; None for this host's.
        took: Seconds in which somebody worked on it; None for all of the time from its start to its end.
    """

    state: RunState
    now: float
    attempts: tuple[Shown, ...] = ()
    moments: tuple[Moment, ...] = ()
    spending: tuple[Spending, ...] = ()
    shut: tuple[Shut, ...] = ()
    comparison: Comparison | None = None
    audit: Audit | None = None
    matrices: Mapping[str, Matrix] = field(default_factory=dict)
    zone: tzinfo | None = None
    took: float | None = None

    @property
    def start(self) -> float:
        return self.state.started

    @cached_property
    def end(self) -> float:
        """When the last thing happened; for a run that goes on, now."""
        if self.state.ended is None:
            return max(self.now, self.start + 1)
        last = max((span.end for one in self.attempts for span in one.spans), default=0.0)
        return max(self.state.ended, last, self.start + 1)

    @cached_property
    def at_once(self) -> int:
        """How many attempts took a place at the same time, at most."""
        spans = [span for one in self.attempts for span in one.spans if span.stage != "waiting"]
        change = sorted(step for one in spans for step in ((one.start, 1), (one.end, -1)))
        return max(accumulate(by for _, by in change), default=0)

    @cached_property
    def cheats(self) -> frozenset[str]:
        """The attempts whose acceptance does not count, since they cheated."""
        return frozenset(() if self.audit is None else discounted(self.audit))

    @cached_property
    def not_scored(self) -> frozenset[str]:
        """The attempts that what befell the run cut short."""
        return frozenset(left_out(self.state))

    @cached_property
    def names(self) -> frozenset[str]:
        """The attempts that a link can lead to."""
        return frozenset(one.name for one in self.attempts)
