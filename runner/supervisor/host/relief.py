"""What to do while the host has hardly any memory left, before its kernel kills for us: decided, and pure.

The newest of the agents that hold much is frozen, one after the other: they grow no further, and the rest may
come to its end. Where that does not help within some seconds, the newest that is frozen is ended, its work
saved, and tried again later. What is frozen goes on, the oldest first, once there has been enough memory for
a while.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from runner.sandbox.pressure import Stall
from runner.supervisor.host.admission import Claim
from runner.tasks.units import MIB, format_size

STALLED = 25.0
"""Percent of the last ten seconds in which every task that could have run waited for memory. systemd-oomd
kills at 60 (`DefaultMemoryPressureLimit`), where little of the host is left to act with."""
PERSISTS = 3.0
"""Seconds for which tasks must have waited so before anything is done: a build that starts can look so."""
APART = 1.0
"""Seconds between two that are frozen."""
PATIENCE = 4.0
"""Seconds in which freezing may help before one is ended; and between two that are ended."""
EFFECT = 1.5
"""The same where hardly anything is left: a killed box needs it to give its memory back."""
AHEAD = 1.0
"""Seconds: memory that would be at its floor by then, as fast as it goes, is taken to be there."""
LONGEST, LONGEST_ALONE = 900.0, 60.0
"""Seconds for which one is left frozen: then there is no memory for it, and it gives back what it holds. That
is sooner where no attempt goes on any more that could give something back."""
CALM = 10.0
"""Seconds for which there must be enough memory before something that is frozen goes on."""
COOLING = 30.0
"""Seconds after the last strain in which nothing is started."""
UNREAD = 2.0
"""Seconds, after an agent was started or taken up, in which it may not have been read yet what it holds."""
MATTERS, LEAST = 0.1, 64 * MIB
"""An agent that holds less than this share of what the largest holds is not what the memory went to; nor is
one that holds less than so many bytes."""


@dataclass(frozen=True)
class Step:
    """What is to be done with an attempt of this run."""

    do: Literal["freeze", "thaw", "end"]
    attempt: str
    why: str = ""


@dataclass(frozen=True)
class Reading:
    """The host's memory at a moment of a clock that only goes forward, and not while the host sleeps.

    Sizes are bytes.

    Attributes:
        free: What is free.
        floor: With less than that, the host is about to fail.
        enough: With so much, it is not likely to.
    """

    at: float
    free: int
    floor: int
    enough: int
    stall: Stall | None = None

    @property
    def is_stalled(self) -> bool:
        """Whether tasks wait for memory more than they may."""
        return self.stall is not None and (self.stall.full or 0.0) >= STALLED

    @property
    def is_easy(self) -> bool:
        """Whether there is so much memory that nothing could have to be done."""
        return not self.is_stalled and self.free > 2 * self.enough - self.floor


@dataclass(frozen=True)
class Strain:
    """What is remembered between two readings; moments are those of the readings, None for never.

    Attributes:
        last: The reading before.
        stalled_since: Since when tasks wait for memory more than they may.
        since: Since when there is too little memory; None while there is enough.
        strained: When there was too little last.
        calm_since: Since when there is enough for what is frozen to go on.
        froze: When one was frozen last.
        ended: When one was ended last.
    """

    last: Reading | None = None
    stalled_since: float | None = None
    since: float | None = None
    strained: float | None = None
    calm_since: float | None = None
    froze: float | None = None
    ended: float | None = None

    def cooling(self, now: float) -> bool:
        """Whether nothing is to be started for want of memory, or because that was not long ago."""
        return _within(self.strained, now, COOLING)

    def after(self, step: Step | None, now: float) -> Strain:
        """What is remembered once that step is taken."""
        if step is None:
            return self
        return replace(
            self,
            calm_since=None,
            froze=now if step.do == "freeze" else self.froze,
            ended=now if step.do == "end" else self.ended,
        )


def relieve(
    strain: Strain, reading: Reading, own: Sequence[Claim], others: Sequence[Claim] = ()
) -> tuple[Strain, Step | None]:
    """What to do now, if anything, and what to remember.

    Args:
        strain: What was remembered.
        reading: How it stands.
        own: What lives of this run, without what is being ended for this and what a person froze.
        others: What lives of other runs, each of which does the same for itself: the newest of all is meant.
    """
    now, why = reading.at, _too_little(strain, reading)
    after = replace(
        strain,
        last=reading,
        stalled_since=_first(strain.stalled_since, now) if reading.is_stalled else None,
        since=_first(strain.since, now) if why else None,
        strained=now if why else strain.strained,
        calm_since=None if why else _calm_since(strain, reading, own),
    )
    step = _against(after, reading, own, others, why) if why else _recover(after, now, own, others)
    return after.after(step, now), step


def _too_little(strain: Strain, reading: Reading) -> str:
    """Why the host is about to fail for want of memory; empty if it is not."""
    least, before = reading.floor, strain.last
    if reading.free < least:
        return f"the host has {format_size(reading.free)} of memory left"
    if before is not None and 0 < reading.at - before.at <= AHEAD and reading.free < reading.enough:
        speed = (before.free - reading.free) / (reading.at - before.at)
        if reading.free - speed * AHEAD < least:
            return f"the host has {format_size(reading.free)} of memory left, and it goes fast"
    lasts = strain.stalled_since is not None and reading.at - strain.stalled_since >= PERSISTS
    if lasts and reading.stall is not None and reading.is_stalled:
        return f"the host waited for memory for {reading.stall.full:.0f} % of the last seconds"
    return ""


def _calm_since(strain: Strain, reading: Reading, own: Sequence[Claim]) -> float | None:
    """Since when there is enough for the oldest that is frozen; alone, it need not find all it may take."""
    frozen = min((one for one in own if one.frozen), key=_age, default=None)
    alone = all(one.frozen for one in own)
    growth = 0 if frozen is None or alone else frozen.growth(reading.at)
    if reading.free < reading.enough + growth:
        return None
    return _first(strain.calm_since, reading.at)


def _against(
    strain: Strain, reading: Reading, own: Sequence[Claim], others: Sequence[Claim], why: str
) -> Step | None:
    """The next step against too little memory."""
    now = reading.at
    desperate = reading.free < reading.floor / 2
    elsewhere = () if desperate else others
    frozen = _newest(
        [one for one in own if one.frozen], [one for one in elsewhere if one.frozen and not one.paused]
    )
    patient = _within(strain.ended, now, PATIENCE) or _within(strain.since, now, PATIENCE)
    if frozen is not None and not (_within(strain.ended, now, EFFECT) if desperate else patient):
        return Step("end", frozen.attempt, why)
    going = [one for one in own if one.running and not one.frozen]
    last = len(going) == 1 and len(own) > 1  # somebody is to come to an end and give everything back
    if not desperate and (last or _within(strain.froze, now, APART)):
        return None
    theirs = [one for one in elsewhere if one.running and not one.frozen]
    if not desperate and any(_unread(one, now) for one in (*going, *theirs)):
        return None  # it is known in a moment whose memory it is
    newest = _newest(going, theirs)
    return None if newest is None else Step("freeze", newest.attempt, why)


def _newest(own: Sequence[Claim], others: Sequence[Claim]) -> Claim | None:
    """The newest of those that hold much, if it is one of ours; None where another run's is meant."""
    largest = max((one.used or 0 for one in (*own, *others)), default=0)
    least = max(LEAST, MATTERS * largest)
    matter = [one for one in (*own, *others) if one.used is None or one.used >= least]
    newest = max(matter, key=_age, default=None)
    return newest if any(newest is one for one in own) else None


def _recover(strain: Strain, now: float, own: Sequence[Claim], others: Sequence[Claim]) -> Step | None:
    """Let the oldest of what is frozen go on where there has been enough memory for long enough."""
    frozen = sorted((one for one in own if one.frozen), key=_age)
    longest = LONGEST if any(not one.frozen for one in (*own, *others)) else LONGEST_ALONE
    for one in frozen:
        if one.frozen_since is not None and now - one.frozen_since >= longest:
            return Step("end", one.attempt, "there was no memory for it to go on")
    if not frozen or strain.calm_since is None or now - strain.calm_since < CALM:
        return None
    return Step("thaw", frozen[0].attempt)


def _unread(claim: Claim, now: float) -> bool:
    """Whether it is not known yet what an agent holds, and soon will be."""
    return claim.used is None and now - max(claim.since, claim.taken_up or claim.since) < UNREAD


def _age(claim: Claim) -> tuple[float, str]:
    return claim.since, claim.attempt


def _first(before: float | None, now: float) -> float:
    return now if before is None else before


def _within(moment: float | None, now: float, seconds: float) -> bool:
    return moment is not None and now - moment < seconds
