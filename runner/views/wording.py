"""How verdicts, figures and spans of time are written and coloured, the same in every view."""

from __future__ import annotations

from rich.text import Text

from runner.names import AttemptKey
from runner.supervisor import events as e
from runner.supervisor.state import RunState
from runner.supervisor.tried import AttemptState
from runner.tasks.plan import Caps, Task
from runner.tasks.units import format_duration, format_size
from runner.views.inert import cell

COLOURS = {
    "accepted": "green",
    "done": "green",
    "no-change": "yellow",
    "rejected": "red",
    "refused": "red",
    "infrastructure": "magenta",
    "cancelled": "yellow",
    "skipped": "dim",
}
UNKNOWN = "?"
NAMED = 48
"""Signs of an attempt's name and its item together; a name alone may be longer."""
SHORTEST_ITEM = 6
"""Signs of an item that say something."""
SCRIPTED = (
    "A script played the model here: tokens and cost come from its transcripts; no service was asked or paid."
)
REPLAYED = (
    "A recording played the model here: tokens and cost are those of then; no service was asked or paid."
)


def colour(verdict: str | None) -> str:
    """The colour of a verdict."""
    return COLOURS.get(verdict or "", "red" if verdict else "")


def judged(state: RunState, attempt: AttemptState) -> str:
    """The verdict on an attempt, and that a person uses it all the same; where it stands if it has none."""
    verdict = attempt.verdict or attempt.phase
    return f"{verdict}, used" if attempt.key in state.used else verdict


def duration(seconds: float | None) -> str:
    """A span of time in words; unknown is said."""
    return (
        UNKNOWN
        if seconds is None
        else f"{seconds:.1f} s"
        if seconds < 10
        else format_duration(round(seconds))
    )


def size(count: int | None) -> str:
    """Bytes in words; unknown is said."""
    return UNKNOWN if count is None else format_size(count)


def retried(event: e.AttemptRetried | e.TaskDecided) -> str:
    """A further try, or a person's decision, in words."""
    if isinstance(event, e.TaskDecided):
        how = (
            "skipped: what needs it goes on without it"
            if event.what == "skip"
            else f"served by {event.attempt}"
        )
        return f"{event.task}  {how}, as a person decided"
    why = {
        "infrastructure": "the fault was not its own",
        "feedback": "it is told what went wrong",
        "memory": "with more memory",
        "person": "a person wants it",
    }[event.why]
    more = f", with {format_size(event.memory)} of memory" if event.memory is not None else ""
    goes_on = ", and goes on with its conversation" if event.session else ""
    wait = event.not_before - event.at if event.not_before is not None else 0.0
    when = f" in {format_duration(round(wait))}" if wait >= 1 else ""
    return f"{event.attempt}  is tried again{when}: {why}{more}{goes_on}"


def count(number: int | None) -> str:
    """How many there are; unknown is said."""
    return UNKNOWN if number is None else str(number)


def many(count: int, one: str, more: str | None = None) -> str:
    """So many of something, in words."""
    return f"{count} {one if count == 1 else more or one + 's'}"


def tokens(count: int | None) -> str:
    """A number of tokens; unknown is said."""
    return UNKNOWN if count is None else f"{count:,}".replace(",", "\u202f")


def named(key: AttemptKey, task: Task) -> Text:
    """An attempt's name, with as much of its item behind it as a narrow screen bears."""
    name = Text(str(key))
    room = NAMED - len(name) - 2
    if task.item is None or room < SHORTEST_ITEM:
        return name
    item = task.item if len(task.item) <= room else f"…{task.item[1 - room :]}"  # of a path its end
    return name.append("  ").append_text(cell(item, "dim"))


def usd(amount: float | None) -> str:
    """US dollars; unknown is said."""
    return UNKNOWN if amount is None else f"${amount:.2f}" if amount >= 1 or not amount else f"${amount:.3f}"


def followed(attempt: AttemptState) -> str:
    """How an attempt followed the recording that answered it; empty if none did."""
    if attempt.replayed is None:
        return ""
    departed = attempt.replayed.first_departure()
    if departed is None:
        return f"as recorded, to the end of its {many(attempt.replayed.turns, 'turn')}"
    where = f"at turn {departed.turn}" if departed.turn else "beside the conversation"
    return f"departed from the recording {where}: {departed.what}"


def noticed(attempt: AttemptState) -> list[str]:
    """What was noticed of an attempt that the reason of its verdict does not say."""
    return [flag for flag in attempt.flags if not attempt.reason or not flag.endswith(attempt.reason)]


def discarded(attempt: AttemptState) -> str:
    """That an attempt's branch was discarded, and where its commits are; empty if it was not."""
    if attempt.discarded is None:
        return ""
    where = attempt.discarded.bundle or ", ".join(attempt.discarded.elsewhere)
    return f"discarded; its commits are in {where}" if where else "discarded"


def caps(caps: Caps) -> str:
    """Amounts in the units in which there are any: `$0.12, 300 tokens`."""
    amounts = [] if caps.usd is None else [usd(caps.usd)]
    amounts += [] if caps.tokens is None else [f"{tokens(caps.tokens)} tokens"]
    amounts += [] if caps.requests is None else [many(caps.requests, "request")]
    return ", ".join(amounts)


def diff_stat(attempt: AttemptState) -> str:
    """How much an attempt changed."""
    if attempt.branch is None and attempt.discarded is None:
        return "-"
    if attempt.files is None:
        return UNKNOWN
    return (
        f"{attempt.files} file{'' if attempt.files == 1 else 's'} +{attempt.insertions} -{attempt.deletions}"
    )
