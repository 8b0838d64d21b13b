"""When a run begins and when it must end, by the wall clock; and how moments are told to people."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from runner.errors import UsageError
from runner.tasks.units import format_duration, parse_duration

LONGEST = 366 * 86400.0
"""Seconds; whoever asks for more means something else."""


def steady() -> float:
    """Seconds of a clock that no one can set, and that goes on while the machine sleeps."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def awake() -> float:
    """Seconds of a clock that no one can set, and that stands still while the machine sleeps.

    It is the same for all processes of one start of the machine.
    """
    return time.monotonic()


def wall() -> float:
    """Seconds since the epoch, as the clock on the wall has it, which people set."""
    return time.time()


@dataclass(frozen=True)
class Clocks:
    """The clocks of a host: two that only go forward, and the one on the wall, which people set.

    Attributes:
        steady: Goes on while the machine sleeps.
        wall: The one that people set.
        awake: Stands still while the machine sleeps.
    """

    steady: Callable[[], float] = steady
    wall: Callable[[], float] = wall
    awake: Callable[[], float] = awake

    def comes(self, moment: float) -> float:
        """When a moment of the wall clock comes, by the steady one: setting the wall does not move it."""
        return self.steady() + moment - self.wall()


_TIME_OF_DAY = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])")


def start_of_run(start: str | None, now: float) -> float | None:
    """When a run begins, as its option says; None for at once.

    Args:
        start: A time of day, `HH:MM` of the local clock: the next one that comes.
        now: The time, in seconds since the epoch.

    Raises:
        UsageError: A text that is no such time.
    """
    return None if start is None else _time_of_day("--start", start, "23:00", now)


def end_of_run(until: str | None, lasts: str | None, now: float) -> float | None:
    """When a run must end, as its options say; None for whenever it is done.

    Args:
        until: A time of day, `HH:MM` of the local clock: the next one that comes.
        lasts: A span of time from its start, like `6h`.
        now: When it starts, in seconds since the epoch.

    Raises:
        UsageError: A text that is no such time, or both at once.
    """
    if until is not None and lasts is not None:
        raise UsageError("--until and --for exclude each other", cure="give one of them")
    if lasts is not None:
        return now + _span(lasts)
    return None if until is None else _time_of_day("--until", until, "07:00", now)


def _time_of_day(option: str, text: str, example: str, now: float) -> float:
    found = _TIME_OF_DAY.fullmatch(text.strip())
    if found is None:
        cure = f"write it like {option} {example}, in the time of this machine's clock"
        raise UsageError(f"{option}: {text!r} is no time of day", cure=cure)
    return _next(int(found[1]), int(found[2]), now)


def midnight(now: float) -> float:
    """When the day of that moment ends, by the local clock, in seconds since the epoch."""
    return _next(0, 0, now)


def _next(hour: int, minute: int, now: float) -> float:
    """The next such time of day of the local clock, also over a change to or from summer time."""
    today = datetime.fromtimestamp(now)  # noqa: DTZ006 - the wall clock of this machine is what is meant
    wanted = today.replace(hour=hour, minute=minute, second=0, microsecond=0)
    if wanted.timestamp() <= now:
        wanted += timedelta(days=1)
    return wanted.timestamp()


def _span(text: str) -> float:
    try:
        seconds = parse_duration(text)
    except ValueError as wrong:
        raise UsageError(f"--for: {wrong}", cure="write it like --for 6h or --for 90min") from wrong
    if not 1 <= seconds <= LONGEST:
        said = f"--for: a run can last from a second to {format_duration(LONGEST)}"
        raise UsageError(said, cure="write it like --for 6h or --for 90min")
    return seconds


def at(moment: float, now: float) -> str:
    """A moment as a person reads it: the time of day, with the day where it is not near."""
    far = abs(moment - now) > 20 * 3600
    return time.strftime("%a %H:%M" if far else "%H:%M", time.localtime(moment))


def countdown(until: float | None, now: float) -> str:
    """Until when something lasts, and how long that is: `until 04:22 (in 2h)`; empty if nobody knows."""
    if until is None:
        return ""
    if until <= now:
        return "any moment now"
    if until - now < 60:
        return f"for {left(until, now)} more"
    return f"until {at(until, now)} (in {left(until, now)})"


def left(until: float, now: float) -> str:
    """For how long that is from now: in seconds, from a minute on in minutes."""
    seconds = max(0, round(until - now))
    return format_duration(seconds if seconds < 60 else 60 * round(seconds / 60))
