"""What is known of one try of an attempt, folded from its events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from runner.agents.seeking import Sought
from runner.gateway.grants import Answered, Replayed, Tokens, Traffic
from runner.gather.tampering import Sign
from runner.names import AttemptKey
from runner.supervisor import events as e
from runner.supervisor.attempt.samples import Used
from runner.supervisor.host.weather import Weather
from runner.supervisor.verdict import Check, Ended, Verdict, Work
from runner.supervisor.verified import CheckResult
from runner.tasks.plan import Caps, Spent
from runner.tasks.when import SKIPPED

Phase = Literal["queued", "preparing", "running", "held", "gathering", "checking", "cleaning", "final"]


@dataclass(frozen=True)
class AttemptState:
    """What is known of one try of an attempt."""

    key: AttemptKey
    phase: Phase = "queued"
    box: str | None = None
    base: str | None = None
    container: str | None = None
    started: float | None = None
    running_since: float | None = None
    boxes: int = 0
    """Containers that its agent has lived in so far; more than one where it went on after a limit."""
    held_since: float | None = None
    held: str = ""
    """What it waits for between two of them, in words."""
    attention: str = ""
    """Of which condition of its agent a person was told last, in words; empty once it has ended."""
    frozen: e.AttemptFrozen | None = None
    """Since when, why and by whom it is frozen, while it is."""
    finished: float | None = None
    ended: Ended | None = None
    work: Work | None = None
    check: Check | None = None
    verdict: Verdict | None = None
    reason: str = ""
    again: bool = False
    exit_code: int | None = None
    branch: str | None = None
    commit: str | None = None
    discarded: e.AttemptDiscarded | None = None
    """What became of its branch, if a person did not want it any more."""
    kept: str | None = None
    files: int | None = None
    insertions: int | None = None
    deletions: int | None = None
    seconds: float | None = None
    held_s: float | None = None
    check_seconds: float | None = None
    checks: tuple[CheckResult, ...] = ()
    """What each of its checks said."""
    peak_memory: int | None = None
    cpu_seconds: float | None = None
    used: Used | None = None
    requests: int | None = None
    tokens: int | None = None
    usd: float | None = None
    spent: Spent = ""
    session: str | None = None
    home: bool = False
    """Whether its HOME is kept for a later try."""
    retry: e.AttemptRetried | None = None
    """What led to this try, and how it begins; None for the first one."""
    rests_until: float | None = None
    """Until when it pauses before it may start, in seconds since the epoch; None once it may."""
    replayed: Replayed | None = None
    overshot: Caps = field(default_factory=Caps)
    flags: tuple[str, ...] = ()
    image: str | None = None
    version: str | None = None
    """The version of the agent CLI that it ran."""
    queued_s: float | None = None
    """For how many seconds only a place, or room on the host, kept it from its start."""
    froze: int = 0
    """How often it was frozen since the host had hardly any memory left."""
    models: Mapping[str, Tokens] | None = None
    """Its tokens by the model that the replies name."""
    answered: tuple[Answered, ...] = ()
    """Which models answered for which."""
    cached: float | None = None
    """The share of its input that its service read from a cache, from 0 to 1."""
    egress: Traffic | None = None
    """Which hosts it tried to reach."""
    weather: Weather | None = None
    """In what conditions it lived."""
    sought: tuple[Sought, ...] | None = None
    """What its agent ran to find an answer; None where that is not known."""
    signs: tuple[Sign, ...] | None = None
    """What in its work touches the judgement on it; None where that was not looked at."""
    passes: bool = False
    """Of one that was skipped: whether what needs it goes on from its `base`."""

    @property
    def has_work(self) -> bool:
        """Whether there is a commit to go on from."""
        return self.commit is not None and self.discarded is None


def skipped(before: AttemptState, event: e.AttemptSkipped) -> AttemptState:
    return AttemptState(
        before.key,
        "final",
        base=event.base,
        finished=event.at,
        work="none",
        check="not-run",
        verdict=SKIPPED,
        reason=event.reason,
        passes=event.passes,
    )


def after(before: AttemptState, event: e.OfAttempt) -> AttemptState:
    match event:
        case e.AttemptStarted():
            return AttemptState(
                before.key,
                "preparing",
                box=event.box,
                base=event.base,
                started=event.at,
                image=event.image,
                version=event.version,
                queued_s=event.queued_s,
                retry=before.retry,
            )
        case e.BoxStarted():
            return replace(
                before,
                phase="running",
                container=event.container,
                running_since=before.running_since or event.at,
                boxes=event.again + 1,
                held_since=None,
                held="",
            )
        case e.AttemptAttention():
            return replace(before, attention=f"{event.condition.replace('-', ' ')}: {event.why}".rstrip(": "))
        case e.AttemptHeld():
            paused = before.frozen if before.frozen is not None and before.frozen.by == "person" else None
            return replace(before, phase="held", held_since=event.at, held=event.why, frozen=paused)
        case e.AttemptFrozen() | e.AttemptThawed():
            froze = event if isinstance(event, e.AttemptFrozen) else None
            pressed = froze is not None and froze.by == "pressure" and before.frozen is None
            return replace(before, frozen=froze, froze=before.froze + pressed)
        case e.AttemptEnded():
            return _ended(before, event)
        case e.AttemptGathered():
            return _gathered(before, event)
        case e.AttemptChecked():
            return replace(
                before,
                phase="cleaning",
                check=event.check,
                check_seconds=event.seconds,
                checks=event.checks,
                reason=before.reason or event.reason,
                flags=tuple(dict.fromkeys(before.flags + event.flags)),
            )
        case e.AttemptFinal() | e.AttemptRetried() | e.AttemptRested() | e.AttemptDiscarded():
            return _judged(before, event)
        case _:
            return before


def _judged(
    before: AttemptState, event: e.AttemptFinal | e.AttemptRetried | e.AttemptRested | e.AttemptDiscarded
) -> AttemptState:
    if isinstance(event, e.AttemptDiscarded):  # its commit stays known: what began from it is told by that
        return replace(before, branch=None, discarded=event)
    if isinstance(event, e.AttemptFinal):
        return replace(
            before,
            phase="final",
            frozen=None,
            verdict=event.verdict,
            reason=before.reason or event.reason,
            again=event.again,
            home=event.home,
            finished=event.at,
        )
    if isinstance(event, e.AttemptRetried):
        return replace(before, again=True)
    return replace(before, rests_until=None)


def _ended(before: AttemptState, event: e.AttemptEnded) -> AttemptState:
    parts = (event.input_tokens, event.output_tokens, event.cache_read_tokens, event.cache_write_tokens)
    known = [part for part in parts if part is not None]
    return replace(
        before,
        phase="gathering",
        attention="",
        frozen=None,
        ended=event.ended,
        reason=event.reason,
        exit_code=event.exit_code,
        seconds=event.seconds,
        held_s=event.held_s,
        peak_memory=event.peak_memory,
        cpu_seconds=event.cpu_seconds,
        used=event.used,
        requests=event.requests,
        tokens=sum(known) if known else None,
        usd=event.usd,
        spent=event.spent,
        session=event.session,
        replayed=event.replayed,
        overshot=event.overshot,
        models=event.models,
        answered=event.answered,
        cached=_cached(event),
        egress=event.egress,
        weather=event.weather,
        sought=event.sought,
        flags=event.flags,
    )


def _cached(event: e.AttemptEnded) -> float | None:
    """The share of its input that was read from a cache; None where there was none, or nobody told."""
    parts = (event.input_tokens, event.cache_read_tokens, event.cache_write_tokens)
    whole = sum(part or 0 for part in parts)
    return None if event.cache_read_tokens is None or not whole else event.cache_read_tokens / whole


def _gathered(before: AttemptState, event: e.AttemptGathered) -> AttemptState:
    return replace(
        before,
        phase="checking",
        work=event.work,
        reason=before.reason or event.reason,
        branch=event.branch,
        commit=event.commit,
        files=event.files,
        insertions=event.insertions,
        deletions=event.deletions,
        kept=event.kept,
        signs=event.signs,
        flags=tuple(dict.fromkeys(before.flags + event.flags)),  # told again after a resume
    )
