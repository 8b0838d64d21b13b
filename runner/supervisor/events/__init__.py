"""What happens in a run, as typed values: the rows of the journal.

The state of a run is folded from these and from nothing else. Times (`at`) are seconds since the epoch;
sizes are bytes. `Signs` is the exception: it is shown, and not journaled.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, TypeAdapter

from runner.supervisor.events.common import Happened, OfAttempt, Words
from runner.supervisor.events.of_attempt import (
    AttemptAttention,
    AttemptChecked,
    AttemptDiscarded,
    AttemptEnded,
    AttemptFinal,
    AttemptFrozen,
    AttemptGathered,
    AttemptHeld,
    AttemptRested,
    AttemptRetried,
    AttemptSkipped,
    AttemptStarted,
    AttemptThawed,
    BoxStarted,
    Cause,
    RunMail,
    Signs,
    Why,
)
from runner.supervisor.events.of_run import (
    BudgetUsed,
    CheckedBefore,
    DayBegan,
    Draining,
    HostShort,
    ImageFailed,
    ImageGone,
    ImageLine,
    ImageReady,
    Integrated,
    JobsChanged,
    Joined,
    Late,
    Notified,
    OrderHeeded,
    RunAnswer,
    RunBegan,
    RunDecided,
    RunEnded,
    RunOver,
    RunPaused,
    RunResumed,
    RunStarted,
    RunUnpaused,
    Shut,
    Stopping,
    TaskDecided,
    TaskExpanded,
    TaskNotExpanded,
    TooLate,
    WindowsChanged,
)

__all__ = [
    "ADAPTER",
    "PASSING",
    "AttemptAttention",
    "AttemptChecked",
    "AttemptDiscarded",
    "AttemptEnded",
    "AttemptFinal",
    "AttemptFrozen",
    "AttemptGathered",
    "AttemptHeld",
    "AttemptRested",
    "AttemptRetried",
    "AttemptSkipped",
    "AttemptStarted",
    "AttemptThawed",
    "BoxStarted",
    "BudgetUsed",
    "Cause",
    "CheckedBefore",
    "DayBegan",
    "Draining",
    "Event",
    "Happened",
    "HostShort",
    "ImageFailed",
    "ImageGone",
    "ImageLine",
    "ImageReady",
    "Integrated",
    "JobsChanged",
    "Joined",
    "Late",
    "Notified",
    "OfAttempt",
    "OrderHeeded",
    "RunAnswer",
    "RunBegan",
    "RunDecided",
    "RunEnded",
    "RunMail",
    "RunOver",
    "RunPaused",
    "RunResumed",
    "RunStarted",
    "RunUnpaused",
    "Shut",
    "Signs",
    "Stopping",
    "TaskDecided",
    "TaskExpanded",
    "TaskNotExpanded",
    "TooLate",
    "Why",
    "WindowsChanged",
    "Words",
]

Event = Annotated[
    RunStarted
    | RunResumed
    | ImageReady
    | ImageFailed
    | ImageGone
    | Draining
    | Stopping
    | OrderHeeded
    | RunPaused
    | RunUnpaused
    | RunBegan
    | DayBegan
    | RunOver
    | TooLate
    | RunDecided
    | BudgetUsed
    | Notified
    | WindowsChanged
    | HostShort
    | JobsChanged
    | RunEnded
    | AttemptStarted
    | BoxStarted
    | AttemptHeld
    | AttemptAttention
    | AttemptFrozen
    | AttemptThawed
    | AttemptEnded
    | AttemptGathered
    | AttemptChecked
    | AttemptFinal
    | AttemptDiscarded
    | AttemptSkipped
    | TaskExpanded
    | TaskNotExpanded
    | RunMail
    | RunAnswer
    | AttemptRetried
    | AttemptRested
    | TaskDecided
    | CheckedBefore
    | Integrated
    | Signs
    | ImageLine,
    Field(discriminator="kind"),
]
PASSING = (Signs, ImageLine)
"""Events that are shown and not kept."""

ADAPTER: TypeAdapter[Event] = TypeAdapter(Event)
