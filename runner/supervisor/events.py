"""What happens in a run, as typed values: the rows of the journal.

The state of a run is folded from these and from nothing else. Times (`at`) are seconds since the epoch;
sizes are bytes. `Signs` is the exception: it is shown, and not journaled.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, JsonValue, TypeAdapter

from runner.gateway.grants import Replayed
from runner.supervisor.attempt.samples import Used
from runner.supervisor.orders import Order
from runner.supervisor.verdict import Check, Ended, Verdict, Work
from runner.tasks.plan import Caps, Plan, Spent, Value


def _writable(words: object) -> object:
    """Text as UTF-8 can hold it: what a box says may hold half of a surrogate pair."""
    return words.encode("utf-8", "replace").decode() if isinstance(words, str) else words


Words = Annotated[str, BeforeValidator(_writable)]
"""Words that may come from a box, a repository or an engine."""


class Happened(Value):
    """Common to all events."""

    at: float


class RunStarted(Happened):
    """A run began; the plan is all that it will do."""

    kind: Literal["run.started"] = "run.started"
    plan: Plan
    jobs: int
    auto: bool = False
    """Whether that number follows what the host bears (`JobsChanged`)."""
    weaker: tuple[str, ...] = ()
    until: float | None = None
    """When it must end; None for whenever it is done."""
    starts: float | None = None
    """When its first attempt may start; None for at once."""
    takes: dict[str, float] = Field(default_factory=dict)
    """By `TASK/PROFILE`, in how many seconds an attempt is done, as far as earlier runs tell."""


class RunResumed(Happened):
    """A later process took the run up again."""

    kind: Literal["run.resumed"] = "run.resumed"
    jobs: int
    auto: bool = False
    """See `RunStarted`."""
    weaker: tuple[str, ...] = ()
    """What is weaker for this process; what was, for earlier ones, stays noted."""
    until: float | None = None
    """When it must end now."""
    takes: dict[str, float] = Field(default_factory=dict)
    """As `RunStarted`, by what is known now."""


class RunBegan(Happened):
    """The time came at which its first attempt may start."""

    kind: Literal["run.began"] = "run.began"


class ImageReady(Happened):
    """The image of a source, for one agent CLI, is there."""

    kind: Literal["image.ready"] = "image.ready"
    source: int
    cli: str | None
    image: str


class ImageFailed(Happened):
    """The image of a source could not be prepared: what needs it ends as infrastructure."""

    kind: Literal["image.failed"] = "image.failed"
    source: int
    cli: str | None
    reason: Words


class Draining(Happened):
    """A person asked that nothing new be started."""

    kind: Literal["run.draining"] = "run.draining"


class Stopping(Happened):
    """A person asked that what runs be stopped and its work brought home."""

    kind: Literal["run.stopping"] = "run.stopping"


class OrderHeeded(Happened):
    """An order that another process gave to the run was heeded, or could not be."""

    kind: Literal["run.order"] = "run.order"
    seq: int
    """Its number in the journal's list of orders; those before it are done with."""
    order: Order
    refused: Words = ""
    """Why it could not be done; empty if it was."""


class RunPaused(Happened):
    """A person asked that nothing new be started for now; `attempt.frozen` tells of what lives."""

    kind: Literal["run.paused"] = "run.paused"


class RunUnpaused(Happened):
    """A person asked that the run go on."""

    kind: Literal["run.unpaused"] = "run.unpaused"


class RunOver(Happened):
    """The end came that was set for the run: nothing more is started, and what runs comes home."""

    kind: Literal["run.over"] = "run.over"
    until: float


class Late(Value):
    """Of what there is no time left: attempts of a task by a profile, in seconds."""

    task: str
    profile: str
    takes: float
    """In how much time one is done."""
    left: float
    """How much there was when that was found out."""


class TooLate(Happened):
    """What is not started any more, since it would not be done before the run's end."""

    kind: Literal["run.late"] = "run.late"
    late: tuple[Late, ...]


class BudgetUsed(Happened):
    """Most of a budget was spent that all attempts of the run share."""

    kind: Literal["run.budget"] = "run.budget"
    whose: Spent
    unit: Literal["usd", "tokens", "requests"]
    used: float
    cap: float


class Notified(Happened):
    """A recipient was told of something, or could not be."""

    kind: Literal["run.notified"] = "run.notified"
    recipient: str
    """Its name in the configuration file."""
    causes: tuple[str, ...] = ()
    """What it need not be told again, by the names of notices."""
    failed: Words = ""
    """Why it could not be told, if that is so."""


class Shut(Value):
    """For whom a window of a provider's is closed, or about to close: nothing of theirs is started."""

    profile: str
    window: str
    """Whose window, and which, in words."""
    since: float
    until: float
    for_good: bool = False
    """Whether they don't wait for it (`on_limit: stop`)."""


class WindowsChanged(Happened):
    """Which profiles wait for a window of their provider's from now on; those that are not named don't."""

    kind: Literal["run.windows"] = "run.windows"
    shut: tuple[Shut, ...] = ()


class HostShort(Happened):
    """What the host has too little of for the next attempt to start; `why` is empty once one can again."""

    kind: Literal["run.short"] = "run.short"
    attempt: str | None = None
    """The first of those that wait for it."""
    thing: str | None = None
    """`memory`, `cpus`, `processes`, `disk`, `files`, or `turn`: another run's turn comes first."""
    why: Words = ""
    since: float | None = None
    """Since when something waits so."""


class JobsChanged(Happened):
    """So many attempts live at once from now on, since nobody said how many."""

    kind: Literal["run.jobs"] = "run.jobs"
    jobs: int
    why: Words


class RunEnded(Happened):
    """The run is over."""

    kind: Literal["run.ended"] = "run.ended"
    exit_code: int


class OfAttempt(Happened):
    """Common to the events of one attempt; `attempt` is `TASK/PROFILE/N[.TRY]`."""

    attempt: str


class AttemptStarted(OfAttempt):
    """An attempt's life began, from the commit `base`."""

    kind: Literal["attempt.started"] = "attempt.started"
    box: str
    base: str


class BoxStarted(OfAttempt):
    """Its container runs."""

    kind: Literal["attempt.running"] = "attempt.running"
    container: str
    again: int = 0
    """How often its agent went on in a new container before this one."""


Cause = Literal["limit", "machine", "nudge"]


class AttemptHeld(OfAttempt):
    """Its agent goes on in a new container.

    `cause` says why the one before it is gone: a `limit` of its provider's, which is waited for; the
    `machine`, or the engine, that stopped; or a `nudge`, since it got nowhere.

    `seconds`, `held_s` and `told_s` say what passed in the attempt so far: working time, time in which it was
    held, and the part of that which the gateway's own count holds. The other figures are this container's.
    """

    kind: Literal["attempt.held"] = "attempt.held"
    container: str
    why: Words
    cause: Cause = "limit"
    session: str | None = None
    """Under which its agent goes on; None for one that begins anew on the same files."""
    exit_code: int | None = None
    seconds: float
    held_s: float
    told_s: float = 0.0
    cpu_seconds: float | None = None
    peak_memory: int | None = None
    output: int = 0
    """Bytes of its output until now."""


class AttemptAttention(OfAttempt):
    """A person is to be told of the condition that its agent is in (`health:`, `then: notify`)."""

    kind: Literal["attempt.attention"] = "attempt.attention"
    condition: Words
    why: Words = ""
    seconds: float | None = None
    """For how long it has been in it."""


class AttemptFrozen(OfAttempt):
    """Its agent was frozen: it keeps its memory and gets no CPU. That is no working time."""

    kind: Literal["attempt.frozen"] = "attempt.frozen"
    why: Words
    by: Literal["pressure", "person"] = "pressure"
    """Whether the host had hardly any memory left, or a person asked for it."""


class AttemptThawed(OfAttempt):
    """Its agent goes on after it was frozen."""

    kind: Literal["attempt.thawed"] = "attempt.thawed"


class AttemptEnded(OfAttempt):
    """What became of the agent, measured on the host's side. Unknown figures are None."""

    kind: Literal["attempt.ended"] = "attempt.ended"
    ended: Ended
    reason: Words = ""
    exit_code: int | None = None
    seconds: float | None = None
    """Working time."""
    held_s: float | None = None
    """Seconds in which the gateway held it, or in which it waited to go on; they are no working time."""
    peak_memory: int | None = None
    cpu_seconds: float | None = None
    used: Used | None = None
    """What its boxes used in all, by the record of its meter; None where there is no record."""
    requests: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    usd: float | None = None
    """What its model calls cost; None where that is not known."""
    spent: Spent = ""
    """Whose budget was spent, if that ended it."""
    session: str | None = None
    """Under which its conversation could go on in a later try; None where its agent told none."""
    replayed: Replayed | None = None
    """How it followed the recording that answered it, if one did."""
    overshot: Caps = Caps()
    """By how much more than that."""
    flags: tuple[Words, ...] = ()


class AttemptGathered(OfAttempt):
    """What came home."""

    kind: Literal["attempt.gathered"] = "attempt.gathered"
    work: Work
    reason: Words = ""
    branch: str | None = None
    commit: str | None = None
    files: int | None = None
    insertions: int | None = None
    deletions: int | None = None
    kept: Words | None = None
    """Where the files were saved, if they could not come home as a branch."""
    flags: tuple[Words, ...] = ()


class AttemptChecked(OfAttempt):
    """What the check said."""

    kind: Literal["attempt.checked"] = "attempt.checked"
    check: Check
    reason: Words = ""
    exit_code: int | None = None
    seconds: float | None = None


class AttemptFinal(OfAttempt):
    """The attempt is judged, and nothing of it is left but its branch and its record."""

    kind: Literal["attempt.final"] = "attempt.final"
    verdict: Verdict
    reason: Words = ""
    again: bool = False
    """Whether another try follows at once. Earlier versions said it here; now `attempt.retried` does."""
    home: bool = False
    """Whether its HOME is kept, so that a later try can go on with its conversation."""


Why = Literal["infrastructure", "feedback", "memory", "person"]
"""Why an attempt is tried again: a fault that is not its own; what its check or its agent said; more memory;
or because a person wants it."""


class AttemptRetried(OfAttempt):
    """Another try follows this one, `attempt`, which ended; how it begins is all said here."""

    kind: Literal["attempt.retried"] = "attempt.retried"
    why: Why
    not_before: float | None = None
    """When its pause is over, in seconds since the epoch; None for at once."""
    told: str | None = None
    """The attempt of whose end, and of whose check's output, its agent is told."""
    base: str | None = None
    """The commit that its work is compared with and checked against; None for whatever its needs give it."""
    on: str | None = None
    """The commit that its workspace begins with, where that is an earlier try's work."""
    session: str | None = None
    """The conversation that goes on in it."""
    home: str | None = None
    """The attempt whose HOME it begins with."""
    memory: int | None = None
    """Its memory limit in bytes, where that is not the task's."""
    note: Words = ""
    """What a person has to say to its agent."""


class AttemptRested(OfAttempt):
    """The pause before this try is over."""

    kind: Literal["attempt.rested"] = "attempt.rested"


class TaskDecided(Happened):
    """A person decided about a task that no attempt served.

    `skip`: its dependents go on as if it had served and changed nothing. `use`: the work of `attempt` counts
    as if it were accepted.
    """

    kind: Literal["task.decided"] = "task.decided"
    task: str
    what: Literal["skip", "use"]
    attempt: str | None = None


class RunMail(OfAttempt):
    """A message that an attempt's agent sent, or tried to: then `refused` says why it went to nobody."""

    kind: Literal["run.mail"] = "run.mail"
    file: Words
    """Its name in the outbox."""
    to: Words = ""
    type: Words = ""
    payload: JsonValue = None
    refused: Words = ""


class RunAnswer(Happened):
    """A person answered the question of that number."""

    kind: Literal["run.answer"] = "run.answer"
    question: int
    text: Words


class AttemptSkipped(OfAttempt):
    """The attempt is not wanted, by the `when` of its task."""

    kind: Literal["attempt.skipped"] = "attempt.skipped"
    reason: Words
    base: str
    """The commit that it would have started from."""
    passes: bool
    """Whether all that it asked about served: then what needs it starts from `base`, else it is held."""


class TaskExpanded(Happened):
    """The items of a task whose `for_each` is a command: from now on each is a task of its own."""

    kind: Literal["task.expanded"] = "task.expanded"
    task: str
    items: tuple[Words, ...]


class TaskNotExpanded(Happened):
    """What a task is done for could not be found out: its attempts end as infrastructure."""

    kind: Literal["task.not-expanded"] = "task.not-expanded"
    task: str
    reason: Words
    tries: int = 1
    """Up to which try of them that holds."""


class Signs(OfAttempt):
    """Signs of life, for looking at: not journaled."""

    kind: Literal["attempt.signs"] = "attempt.signs"
    stage: str
    doing: Words | None = None
    cpu: float | None = None
    memory: int | None = None
    tokens: int | None = None
    usd: float | None = None
    held: Words | None = None
    """What it waits for, if it can't go on: whose limit, or which service."""
    held_kind: str | None = None
    """Of which kind that is: see the gateway's `Held`."""
    held_since: float | None = None
    held_until: float | None = None
    """When that is known to end; None where nobody has said."""
    held_s: float | None = None
    """For how many seconds it has been held in all."""
    condition: Words | None = None
    """In which condition its agent is: see `attempt.health`. None before that was looked at."""
    cause: Words = ""
    """By what that is told, in words."""
    lasted: float | None = None
    """For how many seconds it has been in it, in working time."""
    silence: float | None = None
    """For how many seconds it has given no sign of life, in working time."""


class ImageLine(Happened):
    """A line of an image's build output, for looking at: not journaled."""

    kind: Literal["image.line"] = "image.line"
    source: int
    cli: str | None
    line: Words


Event = Annotated[
    RunStarted
    | RunResumed
    | ImageReady
    | ImageFailed
    | Draining
    | Stopping
    | OrderHeeded
    | RunPaused
    | RunUnpaused
    | RunBegan
    | RunOver
    | TooLate
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
    | AttemptSkipped
    | TaskExpanded
    | TaskNotExpanded
    | RunMail
    | RunAnswer
    | AttemptRetried
    | AttemptRested
    | TaskDecided
    | Signs
    | ImageLine,
    Field(discriminator="kind"),
]
PASSING = (Signs, ImageLine)
"""Events that are shown and not kept."""

ADAPTER: TypeAdapter[Event] = TypeAdapter(Event)
