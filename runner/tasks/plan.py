"""The plan: what a run will do, as plain values, decided before anything is touched.

A plan is made from a task file and facts about the repositories (`runner.tasks.planning`), is shown
by `corral plan`, is journaled with the run, and is all that the later stages read. Sizes are bytes,
times are seconds.
"""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Literal

from pydantic import Field, model_validator

from runner.names import AttemptKey, branch
from runner.tasks.checks import CheckSpec as CheckSpec  # noqa: PLC0414 - a part of the plan, like all below
from runner.tasks.checks import Hidden as Hidden  # noqa: PLC0414 - as above
from runner.tasks.checks import told_before
from runner.tasks.terms import GIB as GIB  # noqa: PLC0414 - as above
from runner.tasks.terms import Health as Health  # noqa: PLC0414 - as above
from runner.tasks.terms import Limits as Limits  # noqa: PLC0414 - as above
from runner.tasks.terms import Patience as Patience  # noqa: PLC0414 - as above
from runner.tasks.terms import Retry as Retry  # noqa: PLC0414 - as above
from runner.tasks.terms import Then as Then  # noqa: PLC0414 - as above
from runner.tasks.value import Value as Value  # noqa: PLC0414 - as above

Spent = Literal["", "attempt", "task", "profile", "run", "day"]
"""Whose budget is spent; empty for nobody's."""


Priority = Literal["low", "normal", "high"]
"""Which tasks are started first, and where boxes wait for one account, which get more of it."""

OnLimit = Literal["wait", "stop", "next-account"]
"""What becomes of a box's requests while a window of its account is used up.

`wait`: they wait for its reset. `stop`: they are refused for good, and the attempt ends as `limited`.
`next-account`: the next of the accounts that are listed is asked, and if all are used up, they wait.
"""


class Caps(Value):
    """What may be spent, in any of three units; None is no cap. The first that is reached counts."""

    usd: float | None = None
    tokens: int | None = None
    requests: int | None = None


class Budget(Value):
    """Caps on what is spent on models: by each attempt, task and profile, the run, and all runs of a day."""

    attempt: Caps = Caps()
    task: Caps = Caps()
    profile: Caps = Caps()
    run: Caps = Caps()
    day: Caps = Caps()

    def caps(self) -> dict[Spent, Caps]:
        """The caps by the name of what they bound; those that bound nothing are left out."""
        parts: dict[Spent, Caps] = {
            "attempt": self.attempt,
            "task": self.task,
            "profile": self.profile,
            "run": self.run,
            "day": self.day,
        }
        return {name: caps for name, caps in parts.items() if caps != Caps()}


class Price(Value):
    """What a user says that a model costs: US dollars for a million tokens of each kind."""

    input: float
    output: float
    cache_read: float | None = None
    """As `input` where it is not said."""
    cache_write: float | None = None
    """As `input` where it is not said."""


class ImageSpec(Value):
    """Where the development environment comes from.

    `default`: Corral's own image. `name`: an image that exists or can be pulled. `build`: the
    Dockerfile in the repository directory `path`. `devcontainer`: `.devcontainer/devcontainer.json`
    or `.devcontainer.json` of the base commit, with the keys in `ignore` left out on purpose.
    """

    kind: Literal["default", "name", "build", "devcontainer"] = "default"
    name: str | None = None
    path: str | None = None
    ignore: tuple[str, ...] = ()


class Source(Value):
    """What attempts start from: a repository pinned at a commit, and the image prepared for it."""

    repo: str
    """The directory that the person named: a work tree, or a bare repository."""
    git_dir: str
    """The repository's common git directory, absolute."""
    base: str
    """The commit, 40 hex digits."""
    base_name: str
    """The commit as the person wrote it (`HEAD`, `main`, …)."""
    history: Literal["full", "shallow", "none"] = "full"
    """What boxes see of the commits before it: all, none but the commit itself, or only its files."""
    image: ImageSpec = ImageSpec()
    setup: tuple[str, ...] = ()
    include: tuple[str, ...] = ()
    """Ignored files of the work tree, relative paths, that are laid into each workspace."""


class ClaudeSettings(Value):
    """Everything that makes one Claude Code profile differ from another."""

    cli: Literal["claude"] = "claude"
    model: str
    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None
    args: tuple[str, ...] = ()
    env: dict[str, str] = Field(default_factory=dict)


class CodexSettings(Value):
    """Everything that makes one Codex profile differ from another."""

    cli: Literal["codex"] = "codex"
    model: str
    effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max", "ultra"] | None = None
    verbosity: Literal["low", "medium", "high"] | None = None
    args: tuple[str, ...] = ()
    env: dict[str, str] = Field(default_factory=dict)


class CommandSettings(Value):
    """A profile that runs any command; a string is run by `sh -c`, a list as it is."""

    cli: Literal["command"] = "command"
    run: tuple[str, ...]
    env: dict[str, str] = Field(default_factory=dict)


Settings = Annotated[ClaudeSettings | CodexSettings | CommandSettings, Field(discriminator="cli")]


class Upstream(Value):
    """Which service answers a profile's model calls.

    `service`: the provider's own (or what `ANTHROPIC_BASE_URL` or `OPENAI_BASE_URL` names). `script`: the
    scripted model, which plays the transcripts under `script`, an absolute path of a directory or a file.
    `replay`: recordings there.
    """

    kind: Literal["service", "script", "replay"] = "service"
    script: str | None = None
    places: tuple[str, ...] = ()
    """Of a service: host and path of each that may answer, in order; none where no account is set up."""
    strict: bool = False
    """Whether what departs from a recording is refused."""
    tries: dict[str, int] = Field(default_factory=dict)
    """By the attempt's name, which try's recording plays it, where that is not the last one's."""

    @property
    def is_played(self) -> bool:
        """Whether no service answers, but a file on this host."""
        return self.kind != "service"


class Profile(Value):
    """An agent profile: who does it, with full settings. `hash` identifies all of them (`tasks.identity`)."""

    name: str
    settings: Settings
    upstream: Upstream = Upstream()
    hash: str
    version: str | None = None
    """The version of its CLI; None for a command, and in plans of earlier versions of Corral."""
    at_once: int | None = None
    """How many of its attempts live at once at most; None for any number. It is none of its settings."""

    @property
    def asks_a_model(self) -> bool:
        """Whether its attempts can ask a model."""
        return self.settings.cli != "command" or self.upstream.is_played


USUAL_PORTS = (443, 80)
"""What an allowed host may be asked at, where no port is named: HTTPS, and plain HTTP."""


class AllowedHost(Value):
    """A host that boxes may reach through the gateway; see `hosts.allowed_host` for what is taken."""

    name: str
    """As it stands in the DNS: ASCII, lower case, without a last dot."""
    subdomains: bool = False
    """Whether every name below it is meant, and not itself."""
    port: int | None = None
    """The one port; None for the usual ones."""

    @property
    def ports(self) -> tuple[int, ...]:
        """All ports at which it may be asked."""
        return USUAL_PORTS if self.port is None else (self.port,)

    def __str__(self) -> str:
        port = "" if self.port is None else f":{self.port}"
        return f"{'*.' if self.subdomains else ''}{self.name}{port}"


Hosted = Literal["web_search", "web_fetch", "code_execution"]
"""What a model's service can do besides answering, by the name under which a task file allows it."""


Mode = Literal["parallel", "sequential", "adaptive"]
"""How many attempts live at once, and what they start from.

`parallel`: as many as there are places for. `sequential`: one task after another, each from the last work
that served. `adaptive`: one at first, then more while they serve, and fewer when they don't.
"""

Passing = Literal["branch", "summary", "diff"]
"""What of a needed task's result is given to the next agent, by reference."""


class ForEach(Value):
    """What a task is done for, until there is a task for each item; one of the three is given."""

    items: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    """Patterns of files of the base commit."""
    command: str | None = None
    """Prints an item a line, in a box on the base."""


PERSON, ALL, CORRAL = "person", "all", "corral"
"""Whom mail can be for, or come from, besides tasks: where mail is on, no task can be called so."""


class MailTerms(Value):
    """That a task's agents send and get mail."""

    wait: float = 0.0
    """Seconds for which an attempt lives on after it asked a person; it ends at once by default."""


class Task(Value):
    """What to do. `source` is an index into the plan's sources.

    A task with `for_each` stands for its items until these are known; then each item is a task of its own
    (`tasks.fanout`), called as it was with the item's number behind it.
    """

    id: str
    kind: str | None = None
    prompt: str = ""
    source: int = 0
    checks: tuple[CheckSpec, ...] = ()
    check_base: bool = True
    """Whether they are run on the commit that the work starts from, too."""
    protect: tuple[str, ...] = ()
    hidden: Hidden | None = None
    needs: tuple[str, ...] = ()
    may_be_empty: bool = False
    compared: bool = False
    """Whether the compared profiles are set side by side on it."""
    limits: Limits = Limits()
    runtime: str | None = None
    """The engine's runtime for the boxes of agents and checks; None for the engine's own choice."""
    network: tuple[AllowedHost, ...] = ()
    """What its agents' boxes may reach besides the model; checks reach nothing."""
    hosted: tuple[Hosted, ...] = ()
    """What its agents may have the model's service do besides answering."""
    priority: Priority = "normal"
    """Which of several that could start does, and how much of a shared account its requests get."""
    for_each: ForEach | None = None
    of: str | None = None
    """The task with `for_each` that this is an item's task of."""
    item: str | None = None
    """The item: one line of plain text, and nothing but data."""
    any_item: bool = False
    """Of what it needs with `for_each`: whether one item that served is enough, once all have ended."""
    when: str | None = None
    """Whether it is done at all; see `tasks.when`."""
    passes: tuple[Passing, ...] = ()
    """What its agent gets of the tasks that it needs."""
    paths: tuple[str, ...] = ()
    """Paths that no attempt of another task may hold while one of it lives."""
    refuse_outside: bool = False
    """Whether work outside of `paths` is refused; it is told in any case."""
    mail: MailTerms | None = None
    """Whether its agents send and get mail, and how long they wait for people; None where they don't."""
    retry: Retry = Retry()
    health: Health = Health()

    @model_validator(mode="before")
    @classmethod
    def _one_check(cls, told: object) -> object:
        """A plan of an earlier version says `check`, one command."""
        return told_before(told)

    @property
    def commands(self) -> tuple[str, ...]:
        """What its checks run."""
        return tuple(one.run for one in self.checks)

    @property
    def check(self) -> str | None:
        """Its checks' commands, a line each; None where it has none."""
        return "\n".join(self.commands) or None


class PlannedAttempt(Value):
    """One attempt of the plan.

    `after`: every one of these must have served (accepted, or done, or an allowed no-change) first.
    `start`: if not empty, the attempt starts from the branch of the first of these that served,
    instead of from the base commit. Both hold attempts as text (`TASK/PROFILE/N`).
    """

    task: str
    profile: str
    n: int = 1
    after: tuple[tuple[str, ...], ...] = ()
    """Groups: of each group at least one attempt must have served."""
    start: tuple[str, ...] = ()
    settled: tuple[str, ...] = ()
    """These must be over, whatever came of them: `when` asks about them, or any of them may serve."""
    previous: tuple[str, ...] = ()
    """In a sequential run: what comes directly before, and must be over."""
    checkpoint: bool = False
    """Whether it starts from the last work that served before it, along `previous`."""

    @property
    def key(self) -> AttemptKey:
        """The attempt's key, at its first try."""
        return AttemptKey(self.task, self.profile, self.n)


class Plan(Value):
    """Everything that a run will do."""

    run: str
    file: str
    """The task file, absolute."""
    sources: tuple[Source, ...]
    profiles: tuple[Profile, ...]
    tasks: tuple[Task, ...]
    attempts: tuple[PlannedAttempt, ...]
    """In the order in which they are started when nothing holds them back."""
    compared: tuple[str, ...] = ()
    """The profiles that are set side by side, in order; empty when nothing is compared."""
    seed: int | None = None
    """What the order of compared attempts is drawn from; None for the order in which they are written."""
    mode: Mode = "parallel"
    compared_retry: bool = False
    """Whether they are set side by side with what they make of a second try."""
    stops_when_decided: bool = False
    """Whether no attempt of compared tasks is started any more once every two of them are decided."""
    branch_prefix: str = "corral"
    budget: Budget = Budget()
    on_limit: OnLimit = "wait"
    record: bool = False
    """Whether the model traffic of its attempts is recorded."""
    prices: dict[str, Price] = Field(default_factory=dict)
    """The user's own prices, by model."""
    repositories: dict[str, int] = Field(default_factory=dict)
    """How many attempts in a repository live at once at most, by the directory that a source names."""
    notes: tuple[str, ...] = ()
    """Things a person should know before the run: what of a dirty tree is left out, and the like."""

    @cached_property
    def _tasks(self) -> dict[str, Task]:
        return {task.id: task for task in self.tasks}

    @cached_property
    def waiting(self) -> tuple[Task, ...]:
        """The tasks whose items are not known yet."""
        return tuple(task for task in self.tasks if task.for_each is not None)

    @cached_property
    def blocks(self) -> tuple[tuple[str, int], ...]:
        """What every compared profile does once, a task and a repeat, in the order of the plan."""
        found = ((one.task, one.n) for one in self.attempts if self.task(one.task).compared)
        return tuple(dict.fromkeys(found))

    @cached_property
    def _attempts(self) -> dict[str, PlannedAttempt]:
        return {str(planned.key): planned for planned in self.attempts}

    @cached_property
    def _profiles(self) -> dict[str, Profile]:
        return {profile.name: profile for profile in self.profiles}

    def task(self, task_id: str) -> Task:
        """The task of that id."""
        return self._tasks[task_id]

    def attempt(self, name: str) -> PlannedAttempt:
        """The attempt of that name, at its first try."""
        return self._attempts[name]

    def profile(self, name: str) -> Profile:
        """The profile of that name."""
        return self._profiles[name]

    @cached_property
    def _places(self) -> tuple[dict[str, int], dict[str, int]]:
        tasks, profiles = ({name: n for n, name in enumerate(of)} for of in (self._tasks, self._profiles))
        return tasks, profiles

    def place(self, key: AttemptKey) -> tuple[int, int, int, int]:
        """Where it stands in the order in which the task file is written: by task, profile, n and try."""
        tasks, profiles = self._places
        return tasks[key.task], profiles[key.profile], key.n, key.try_

    def branch(self, key: AttemptKey) -> str:
        """The branch on which that attempt's work comes home."""
        return branch(self.run, key, self.branch_prefix)
