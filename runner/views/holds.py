"""What is held, why, and until when: in words, and as news that is worth a line of its own."""

from __future__ import annotations

from collections.abc import Iterable

from runner.gateway.grants import Held, Standing
from runner.supervisor import events as e
from runner.supervisor.deadline import at, countdown
from runner.supervisor.state import RunState
from runner.tasks.units import format_duration

WORTH_TELLING = 15.0
"""Seconds: of what is held for less, or comes to its turn so soon, nobody is told in a line of its own."""


def words(why: str, until: float | None, now: float) -> str:
    """What something waits for, with the countdown where the end is known."""
    left = countdown(until, now)
    return f"{why}, {left}" if left else why


def of(held: Held, now: float) -> str:
    """What a box's requests wait for."""
    return words(held.why, held.until, now)


def now_held(grants: Iterable[Standing], run: str, now: float) -> dict[str, e.Signs]:
    """Signs of what the gateway knows of a run's attempts, for who looks from another process."""
    return {
        one.account.attempt: e.Signs(
            at=now,
            attempt=one.account.attempt,
            stage="running",
            tokens=one.usage.tokens,
            usd=None if one.usage.unpriced else one.usage.usd,
            held=one.usage.held.why if one.usage.held else None,
            held_kind=one.usage.held.kind if one.usage.held else None,
            held_since=one.usage.held.since if one.usage.held else None,
            held_until=one.usage.held.until if one.usage.held else None,
            held_s=one.usage.held_s,
        )
        for one in grants
        if one.account.run == run
    }


class News:
    """Tells of a hold once when it has become worth it, and once when it is over."""

    def __init__(self) -> None:
        self._told: dict[str, tuple[str, str]] = {}

    def of(self, signs: e.Signs) -> bool:
        """Whether these signs of life say something new of what the attempt waits for."""
        before = self._told.get(signs.attempt)
        if signs.held is None:
            self._told.pop(signs.attempt, None)
            return before is not None
        what = (signs.held_kind or "", signs.held)
        if before == what or not _matters(signs):
            return False
        self._told[signs.attempt] = what
        return True


def _matters(signs: e.Signs) -> bool:
    lasted = signs.at - (signs.held_since if signs.held_since is not None else signs.at)
    lasts = 0.0 if signs.held_until is None else signs.held_until - signs.at
    return max(lasted, lasts) >= WORTH_TELLING


def sentence(signs: e.Signs) -> str:
    """News in words."""
    if signs.held is None:
        total = "" if signs.held_s is None else f", after {format_duration(round(signs.held_s))} in all"
        return f"goes on{total}"
    return f"held: {words(signs.held, signs.held_until, signs.at)}"


def windows(state: RunState) -> str:
    """Who waits for a provider's window before anything of theirs starts; empty for nobody."""
    waiting: dict[str, list[str]] = {}
    for shut in state.shut:
        until = f"until {at(shut.until, shut.since)}"
        waiting.setdefault(f"{shut.window}, {until}", []).append(shut.profile)
    return "; ".join(f"{', '.join(names)}: nothing new before {what}" for what, names in waiting.items())
