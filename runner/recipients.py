"""Who is told of what happens in the night, and when they want to be left alone: plain values.

How somebody is reached is a URL, and it may hold a secret: it is named here by its source only, and read when
something is sent. One that stands in an environment variable is kept as a secret value.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal, get_args

from pydantic import ConfigDict, Field, SecretStr

from runner.accounts import FromEnvironment, Source
from runner.tasks.plan import Value

Kind = Literal["attention", "window", "budget", "end"]
"""What people are told of: something needs them, a provider's window closed, a budget is nearly spent, the
run ended."""

KINDS: tuple[Kind, ...] = get_args(Kind)

DAY = 24 * 60
"""Minutes."""


class Quiet(Value):
    """Quiet hours, every day: from one time of day to another one, in minutes since midnight.

    They may go over midnight. Times are those of the clock on this host's wall.
    """

    begin: int = Field(ge=0, lt=DAY)
    end: int = Field(ge=0, lt=DAY)

    def ends(self, now: float) -> float | None:
        """When those end in which a moment lies, in seconds since the epoch; None if it lies in none."""
        at = datetime.fromtimestamp(now)  # noqa: DTZ006 - the wall clock of this machine is what is meant
        since = (60 * at.hour + at.minute - self.begin) % DAY
        lasts = (self.end - self.begin) % DAY
        if since >= lasts:
            return None
        end = at.replace(hour=self.end // 60, minute=self.end % 60, second=0, microsecond=0)
        return (end if end > at else end + timedelta(days=1)).timestamp()

    def __str__(self) -> str:
        return "-".join(f"{minutes // 60:02}:{minutes % 60:02}" for minutes in (self.begin, self.end))


class Recipient(Value):
    """Somebody who is told, on one way."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    name: str
    source: FromEnvironment | Source | None = None
    """Where the URL is to be had by which it is reached; None for the desktop of this host."""
    secret: SecretStr | None = None
    """The URL, where it came from the environment."""
    on: tuple[Kind, ...] = KINDS
    """What it is told of."""
    quiet: Quiet | None = None
    """When it wants to be left alone."""
