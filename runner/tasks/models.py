"""The task file as models: every key, its kind and one line on what it is for.

Validation and the JSON Schema for editors both come from here. What concerns several values at once
(names that must exist, cycles, who runs what) is in `rules`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    StrictBool,
    model_validator,
)

from runner.tasks.agent_parts import AgentPart, ClaudePart, CodexPart, CommandPart
from runner.tasks.budget_parts import BudgetPart, CapsPart, PricePart
from runner.tasks.check_part import CheckPart, Checks
from runner.tasks.fields import (
    AtOnce,
    Command,
    Cpus,
    Directory,
    Disk,
    Distinct,
    HostDirectory,
    HostText,
    Id,
    ImageName,
    IncludePath,
    Line,
    Memory,
    Pids,
    Prefix,
    RefusedError,
    Repeats,
    Repository,
    RuntimeName,
    Seconds,
    Seed,
    TaskId,
    Text,
    TreePath,
    UpstreamText,
)
from runner.tasks.graph_parts import FanIn, ForEach, ForEachPart, Mode, Outside, Passing, Paths, WhenText
from runner.tasks.health_part import HealthPart, PatiencePart
from runner.tasks.hosts import MOST_HOSTS
from runner.tasks.mention import mention
from runner.tasks.part import Part
from runner.tasks.plan import Hosted, Limits, OnLimit, Priority
from runner.tasks.retry_part import OomPart, RetryPart
from runner.tasks.source import Document, Place
from runner.tasks.units import format_duration, format_size

_DEFAULT = Limits()

HistoryText = Literal["full", "shallow", "none"]


class LimitsPart(Part):
    """What one attempt may use."""

    cpus: Annotated[Cpus | None, Field(description=f"CPUs; {_DEFAULT.cpus:g} by default.")] = None
    memory: Annotated[
        Memory | None,
        Field(description=f"Memory, like 4GiB or 512m (MiB); {format_size(_DEFAULT.memory)} by default."),
    ] = None
    pids: Annotated[Pids | None, Field(description=f"Processes; {_DEFAULT.pids} by default.")] = None
    disk: Annotated[
        Disk | None,
        Field(description=f"Workspace and home together; {format_size(_DEFAULT.disk)} by default."),
    ] = None
    time: Annotated[
        Seconds | None,
        Field(description=f"Working time, like 45min; {format_duration(_DEFAULT.time)} by default."),
    ] = None
    idle: Annotated[
        Seconds | None,
        Field(description=f"Time without a sign of life; {format_duration(_DEFAULT.idle)} by default."),
    ] = None


class DevcontainerPart(Part):
    """How the repository's dev container is taken."""

    ignore: Annotated[tuple[Text, ...], Distinct] = ()
    """Keys of devcontainer.json to leave out on purpose, like `features`."""


def _devcontainer(value: object) -> object:
    if value is False:
        raise RefusedError("false means nothing here", "write true, or name another image")
    return {} if value is True else value


class ImagePart(Part):
    """Where the development environment comes from: one of `name`, `build` and `devcontainer`."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [{"required": [key]} for key in ("name", "build", "devcontainer")],
            "dependentRequired": {"ignore": ["devcontainer"]},
        }
    )

    name: ImageName | None = None
    """An image that is here already or can be pulled."""
    build: Directory | None = None
    """A directory of the repository that holds a Dockerfile."""
    devcontainer: Annotated[
        DevcontainerPart | None,
        BeforeValidator(_devcontainer, json_schema_input_type=Literal[True] | DevcontainerPart),
    ] = None
    """The repository's own dev container: true, or `{ignore: [KEY]}`."""
    ignore: Annotated[tuple[Text, ...], Distinct] = ()
    """Keys of devcontainer.json to leave out on purpose, like `features`."""

    @model_validator(mode="after")
    def _one(self) -> ImagePart:
        given = [key for key in ("name", "build", "devcontainer") if getattr(self, key) is not None]
        if len(given) != 1:
            said = f"{' and '.join(given)} together" if given else "an image without a source"
            raise RefusedError(said, "give one of `name:`, `build:` and `devcontainer: true`")
        if self.ignore and self.devcontainer is None:
            raise RefusedError("`ignore` is about a dev container", "remove it, or use `devcontainer: true`")
        return self


class NetworkPart(Part):
    """What may leave an agent's box besides model calls."""

    allow: Annotated[tuple[HostText, ...], Field(max_length=MOST_HOSTS), Distinct] = ()
    """Hosts: `NAME` at the ports 443 and 80, `NAME:PORT`, and `*.NAME` for all below a name."""
    hosted: Annotated[tuple[Hosted, ...], Distinct] = ()
    """What the model's service may do for the agent: `web_search`, `web_fetch`, `code_execution`."""


class MailPart(Part):
    """Mail between tasks, and with people."""

    wait: Seconds | None = None
    """How long an attempt waits for your answer; by default it ends as `needs-input` at once."""


def _mail(value: object) -> object:
    return {True: {}, False: None}.get(value, value) if isinstance(value, bool) else value


Mailing = Annotated[MailPart | None, BeforeValidator(_mail, json_schema_input_type=StrictBool | MailPart)]


class TaskPart(Part):
    """What to do, how it is checked, and what it builds upon."""

    id: TaskId
    """The task's name; it becomes a part of the branch's name."""
    kind: Id | None = None
    """What kind of task it is, in your words: figures over all runs are told by it."""
    prompt: str | None = None
    """What the agent is told; optional for `cli: command` only."""
    agent: str | None = None
    """The one profile that does this task; without it, `compare` or `default_agent` says who does."""
    check: Checks | None = None
    """What decides in a clean container: a command (exit 0 accepts the work), or several by name."""
    check_base: StrictBool = True
    """Whether checks are run on the base, too: what they say of it is told beside that of the work."""
    protect: Annotated[tuple[TreePath, ...], Distinct] = ()
    """Paths that are restored from the base before the check."""
    hidden: HostDirectory | None = None
    """A directory beside this file, laid over the work for its checks alone: tests that no agent sees."""
    needs: Annotated[tuple[str, ...], Distinct] = ()
    """Tasks that must have served before this one starts."""
    from_: Annotated[str | None, Field(alias="from")] = None
    """Where the work starts: a task of `needs`, or `base`. With one need it is that task by default."""
    for_each: ForEach | None = None
    """Done for each item of a list, of `{files: PATTERN}`, or of what `{command: …}` prints: `{item}`."""
    fan_in: FanIn = "all"
    """Of what it needs with `for_each`: `all` items must have served, or all have ended and `any` served."""
    when: WhenText | None = None
    """Whether it is done at all, by facts about tasks of `needs`, like `fix.verdict == 'rejected'`."""
    pass_: Annotated[tuple[Passing, ...], Distinct, Field(alias="pass")] = ()
    """What its agent gets of `needs`, in files that the prompt names: `branch`, `summary`, `diff`."""
    paths: Paths = ()
    """What it changes: files or directories on which no other task works meanwhile. Takes `{item}`."""
    outside_paths: Outside = "flag"
    """What becomes of work outside of `paths`: `flag` says it, `refuse` keeps it out of the repository."""
    may_be_empty: StrictBool = False
    """Whether changing nothing is a success."""
    priority: Priority = "normal"
    """`low`, `normal` or `high`: who starts first, and gets more of an account that many share."""
    limits: LimitsPart | None = None
    """Limits that differ from those of the file."""
    health: HealthPart | None = None
    """Patience that differs from that of the file."""
    repo: Repository | None = None
    """Another repository than that of the file."""
    base: Line | None = None
    """Another base than that of the file."""
    history: HistoryText | None = None
    """Another history than that of the file."""
    image: ImagePart | None = None
    """Another image than that of the file."""
    setup: tuple[Command, ...] | None = None
    """Other set-up commands than those of the file."""
    include: Annotated[tuple[IncludePath, ...], Distinct] | None = None
    """Other ignored files than those of the file."""
    network: NetworkPart | None = None
    """Other hosts than those of the file; `{}` for none."""
    mail: Mailing = None
    """Other mail than that of the file; `false` for none."""
    retry: RetryPart | None = None
    """What differs from the `retry` of the file."""

    @property
    def named_agent(self) -> str | None:
        """The agent that the task itself names, by its key or at the start of its prompt."""
        return self.agent or mention(self.prompt or "")[0]


class ComparePart(Part):
    """Profiles set side by side on every task that names no agent."""

    agents: Annotated[tuple[str, ...], Field(min_length=1), Distinct]
    """The profiles, in the order in which they are shown."""
    repeats: Repeats = 1
    """How often each profile does each task."""
    retry: StrictBool = False
    """Whether compared tasks are tried again like others; what counts is what comes of it in the end."""
    seed: Seed | None = None
    """What the order of compared attempts is drawn from; by default another one for each plan."""
    stop_when: Literal["decided"] | None = None
    """`decided`: start no more of it once all profiles are [told apart](comparing.md#stopping-early)."""


class RepositoryPart(Part):
    """What holds for all tasks in one repository together."""

    at_once: AtOnce
    """How many attempts live there at once at most."""


class TaskFile(Part):
    """A task file: what to do, who does it, and within which limits."""

    name: Id | None = None
    """The run's name, numbered where it is taken; made from the time by default."""
    repo: Repository | None = None
    """The repository, relative to this file; by default the one around it."""
    base: Line | None = None
    """Branch, tag or commit that work starts from; HEAD by default. Pinned when the run is planned."""
    repositories: dict[Repository, RepositoryPart] = Field(default_factory=dict)
    """What holds for one repository, by what `repo:` says of it; `.` where nothing does."""
    history: HistoryText = "full"
    """What boxes see of the past: `full` up to the base, the base alone (`shallow`), its files (`none`)."""
    image: ImagePart | None = None
    """Where the development environment comes from; Corral's own image by default."""
    setup: tuple[Command, ...] = ()
    """Commands that prepare the environment, run once, with network, when the image is built."""
    include: Annotated[tuple[IncludePath, ...], Distinct] = ()
    """Ignored files that the tasks need; refused if they look like keys."""
    limits: LimitsPart = LimitsPart()
    """What each attempt may use."""
    retry: RetryPart = RetryPart()
    """When an attempt is tried again by itself."""
    health: HealthPart = HealthPart()
    """For how long agents that stall are borne, and what is done then; see [health](health.md)."""
    runtime: RuntimeName | None = None
    """The engine's runtime for agents' and checks' boxes, like `runsc`; the engine's choice by default."""
    budget: BudgetPart | None = None
    """What may be spent by an attempt, a run and a day."""
    on_limit: OnLimit = "wait"
    """While a provider's window is used up: `wait` for its reset, `stop`, or ask the `next-account`."""
    prices: dict[Line, PricePart] = Field(default_factory=dict)
    """Your own prices by model, for one without a known price or at a price of your own."""
    network: NetworkPart = NetworkPart()
    """Which hosts agents' boxes may reach through the gateway; none by default."""
    upstream: UpstreamText | None = None
    """What answers model calls: `service`, `script:PATH` or `replay:PATH`, relative to this file."""
    record: StrictBool = False
    """Whether what agents and models say to each other is recorded, so that `corral replay` can repeat it."""
    mail: Mailing = None
    """Whether agents can write to each other, and ask you: `true`, or `{wait: 30min}`. Off by default."""
    agents: Annotated[dict[Id, AgentPart], Field(min_length=1)]
    """The agent profiles, by name."""
    default_agent: str | None = None
    """The profile for tasks that name none; not needed where there is one profile."""
    tasks: Annotated[tuple[TaskPart, ...], Field(min_length=1)]
    """What to do."""
    mode: Mode = "parallel"
    """`parallel`; `sequential`: each from the last work that served; `adaptive`: more while they serve."""
    compare: ComparePart | None = None
    """Sets profiles side by side on every task that names no agent."""
    branch_prefix: Prefix = "corral"
    """What the names of all branches start with."""

    _lines: Mapping[Place, int] = PrivateAttr(default_factory=dict)

    def model_post_init(self, context: Mapping[Place, int] | None) -> None:
        """Keep the lines, which come as the context of a validation."""
        self._lines = context or {}

    @classmethod
    def of(cls, document: Document) -> TaskFile:
        """The task file that a document holds, with its lines.

        Raises:
            pydantic.ValidationError: Values of it are not what they must be.
        """
        return cls.model_validate(document.data, context=document.lines)

    def compares(self, task: TaskPart) -> bool:
        """Whether the compared profiles do a task: it names no agent of its own."""
        return self.compare is not None and task.named_agent is None

    def line(self, *place: str | int) -> int | None:
        """The line where the value at that place is written, or None where it is not written."""
        return self._lines.get(place)


def parts() -> dict[str, type[Part]]:
    """Each kind of mapping, by the name under which it stands in a file or in an error of pydantic's."""
    return {
        "": TaskFile,
        "agents": ClaudePart,
        "claude": ClaudePart,
        "codex": CodexPart,
        "command": CommandPart,
        "tasks": TaskPart,
        "limits": LimitsPart,
        "retry": RetryPart,
        "oom": OomPart,
        "health": HealthPart,
        **dict.fromkeys(HealthPart.model_fields, PatiencePart),
        "image": ImagePart,
        "devcontainer": DevcontainerPart,
        "compare": ComparePart,
        "budget": BudgetPart,
        "network": NetworkPart,
        "mail": MailPart,
        "prices": PricePart,
        "check": CheckPart,
        "for_each": ForEachPart,
        "repositories": RepositoryPart,
        **dict.fromkeys(("attempt", "run", "day"), CapsPart),
    }


def keys_of(part: type[Part]) -> dict[str, str]:
    """The keys of a mapping as they are written, each with its description."""
    return {field.alias or name: field.description or "" for name, field in part.model_fields.items()}
