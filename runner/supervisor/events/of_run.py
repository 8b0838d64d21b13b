"""What happens to a run, to its tasks, and to what its attempts share."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from runner.supervisor.events.common import Happened, Words
from runner.supervisor.ownership.orders import Order
from runner.supervisor.verified import CheckResult
from runner.tasks.plan import Plan, Spent, Value


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
    kept: bool = False
    """Whether nobody asked for it, but the one before had died: what was ordered of that holds on."""


class RunBegan(Happened):
    """The time came at which its first attempt may start."""

    kind: Literal["run.began"] = "run.began"


class DayBegan(Happened):
    """A new day began: what had left nothing of a day's budget counts no more."""

    kind: Literal["run.day"] = "run.day"


class ImageReady(Happened):
    """The image of a source, for one agent CLI, is there."""

    kind: Literal["image.ready"] = "image.ready"
    source: int
    cli: str | None
    image: str
    version: str | None = None
    """The agent CLI's version in it."""


class ImageFailed(Happened):
    """The image of a source could not be prepared: what needs it ends as infrastructure."""

    kind: Literal["image.failed"] = "image.failed"
    source: int
    cli: str | None
    reason: Words


class ImageGone(Happened):
    """An image was removed while the run needs it: it is prepared once more."""

    kind: Literal["image.gone"] = "image.gone"
    image: str


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


class RunDecided(Happened):
    """Every two compared profiles are told apart: no more of them is started (`stop_when: decided`)."""

    kind: Literal["run.decided"] = "run.decided"
    order: tuple[str, ...]
    """The profiles, the better one first."""
    blocks: int
    """After how many blocks, each a repeat of a task that every profile did."""
    planned: int
    """How many there were to be."""


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


class TaskDecided(Happened):
    """A person decided about a task that no attempt served.

    `skip`: its dependents go on as if it had served and changed nothing. `use`: the work of `attempt` counts
    as if it were accepted.
    """

    kind: Literal["task.decided"] = "task.decided"
    task: str
    what: Literal["skip", "use"]
    attempt: str | None = None


class RunAnswer(Happened):
    """A person answered the question of that number."""

    kind: Literal["run.answer"] = "run.answer"
    question: int
    text: Words


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


class CheckedBefore(Happened):
    """What a task's checks say of the commit that its work starts from."""

    kind: Literal["task.checked-before"] = "task.checked-before"
    task: str
    base: str
    checks: tuple[CheckResult, ...]


class Joined(Value):
    """What became of one branch in an integration."""

    attempt: str
    went_in: bool
    why: Words = ""
    """Why not, in words."""
    cause: Literal["", "conflict", "check", "same", "cheating", "discarded", "error"] = ""
    """`conflict`: it doesn't merge. `check`: the combined check fails with it. `same`: it is in already.
    `cheating`: it was accepted for another thing than its work, as the audit found. `discarded`: a person
    discarded its branch, and no other one of its task was accepted."""
    with_: tuple[str, ...] = ()
    """The attempts with which it does not go together, as far as that was found out."""
    files: tuple[Words, ...] = ()
    """The files in conflict."""


class Integrated(Happened):
    """Accepted branches of one repository were put together, checked, and are a branch."""

    kind: Literal["run.integrated"] = "run.integrated"
    repo: str
    base: str
    branch: str | None
    """None where nothing went in."""
    commit: str | None
    joined: tuple[Joined, ...] = ()
    checks: tuple[CheckResult, ...] = ()
    """What the combined checks say of the branch as it is."""
    check_runs: int = 0
    """How often the combined checks were run for it."""
    seconds: float | None = None


class ImageLine(Happened):
    """A line of an image's build output, for looking at: not journaled."""

    kind: Literal["image.line"] = "image.line"
    source: int
    cli: str | None
    line: Words
