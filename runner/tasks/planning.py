"""From a task file to a plan: who does what, starting from where, after what, in which order.

Facts about the repositories come in as values, so that planning asks nobody and can be tried freely.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from runner.errors import Problem, TaskFileError
from runner.names import AttemptKey
from runner.tasks import retries
from runner.tasks.agent_parts import AgentPart, ClaudePart, CodexPart
from runner.tasks.fanout import MOST_ATTEMPTS, ordered
from runner.tasks.graph import topological
from runner.tasks.graph_parts import ForEachPart
from runner.tasks.health_part import HealthPart
from runner.tasks.hosts import allowed_host
from runner.tasks.identity import settings_hash
from runner.tasks.mention import mention
from runner.tasks.models import ImagePart, TaskFile, TaskPart
from runner.tasks.outline import starts_from, who_runs
from runner.tasks.plan import (
    Budget,
    CheckSpec,
    ClaudeSettings,
    CodexSettings,
    CommandSettings,
    ForEach,
    Health,
    Hidden,
    ImageSpec,
    Limits,
    MailTerms,
    Plan,
    PlannedAttempt,
    Price,
    Profile,
    Retry,
    Settings,
    Source,
    Task,
    Upstream,
)
from runner.tasks.when import comparisons, parse

Wanted = tuple[Path, str]
"""A repository to look at, and the base in it as the person wrote it (`HEAD` by default)."""


@dataclass(frozen=True)
class RepoFacts:
    """What a repository and a base in it turned out to be; see `plan.Source` for the fields."""

    repo: str
    git_dir: str
    base: str
    base_name: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Unusable:
    """Why a repository, or the base in it, can't be used; the plan names the line that asked for it."""

    message: str
    cure: str | None = None
    about: Literal["repo", "base"] = "repo"


def wanted_repos(taskfile: TaskFile, file: Path) -> list[Wanted]:
    """The repositories and bases that a plan needs facts about, each once."""
    return list(dict.fromkeys(_wanted(taskfile, task, file) for task in taskfile.tasks))


def make_plan(
    taskfile: TaskFile,
    file: Path,
    run: str,
    facts: Mapping[Wanted, RepoFacts | Unusable],
    *,
    versions: Mapping[str, str] = MappingProxyType({}),
    places: Mapping[str, tuple[str, ...]] = MappingProxyType({}),
    seed: int | None = None,
) -> Plan:
    """The plan of a run; tasks with `for_each` stand for their items in it (`fanout.expand`).

    Args:
        taskfile: What is asked for.
        file: The task file's path, absolute; paths in it are relative to its directory.
        run: The run's name.
        facts: What each of `wanted_repos` turned out to be.
        versions: The versions of agent CLIs, by name.
        places: Host and path of the services that may answer an agent CLI, in order, by its name.
        seed: What the order of compared attempts is drawn from, where the file names none; None for the order
            in which they are written.

    Raises:
        TaskFileError: A repository can't be used, or the matrix is too large.
    """
    problems = [
        *_unusable(taskfile, file, facts),
        *_too_many(taskfile),
        *retries.too_little(taskfile),
        *_left_undone(taskfile),
    ]
    if problems:
        raise TaskFileError(file, problems)
    usable = {wanted: fact for wanted, fact in facts.items() if isinstance(fact, RepoFacts)}
    sources, indices, notes = _sources(taskfile, file, usable)
    tasks = tuple(_task(taskfile, task, indices[task.id], file) for task in taskfile.tasks)
    seed = _seed(taskfile, seed)
    return Plan(
        run=run,
        file=str(file),
        sources=sources,
        profiles=_profiles(taskfile, file, versions, places),
        tasks=tasks,
        attempts=_attempts(taskfile, tasks, seed),
        compared=_compared(taskfile),
        seed=seed,
        mode=taskfile.mode,
        compared_retry=retries.are_compared(taskfile),
        stops_when_decided=taskfile.compare is not None and taskfile.compare.stop_when == "decided",
        branch_prefix=taskfile.branch_prefix,
        budget=_budget(taskfile),
        on_limit=taskfile.on_limit,
        record=taskfile.record,
        prices={model: Price(**part.model_dump()) for model, part in taskfile.prices.items()},
        repositories=_repositories(taskfile, file, usable),
        notes=(*notes, *_unused(taskfile), *retries.left_out(taskfile)),
    )


def _budget(taskfile: TaskFile) -> Budget:
    return Budget() if taskfile.budget is None else Budget(**taskfile.budget.model_dump(exclude_none=True))


def _repositories(taskfile: TaskFile, file: Path, facts: Mapping[Wanted, RepoFacts]) -> dict[str, int]:
    """The bounds of repositories, by the directory that sources name."""
    found = {}
    for task in taskfile.tasks:
        part = taskfile.repositories.get(task.repo or taskfile.repo or ".")
        if part is not None:
            found[facts[_wanted(taskfile, task, file)].repo] = part.at_once
    return found


# -- sources


def _wanted(taskfile: TaskFile, task: TaskPart, file: Path) -> Wanted:
    return file.parent / (task.repo or taskfile.repo or "."), task.base or taskfile.base or "HEAD"


def _unusable(
    taskfile: TaskFile, file: Path, facts: Mapping[Wanted, RepoFacts | Unusable]
) -> Iterator[Problem]:
    told: set[Wanted] = set()
    for index, task in enumerate(taskfile.tasks):
        wanted = _wanted(taskfile, task, file)
        fact = facts[wanted]
        if isinstance(fact, Unusable) and wanted not in told:
            told.add(wanted)
            line = taskfile.line("tasks", index, fact.about) or taskfile.line(fact.about)
            yield Problem(fact.message, line, fact.cure)


def _sources(
    taskfile: TaskFile, file: Path, facts: Mapping[Wanted, RepoFacts]
) -> tuple[tuple[Source, ...], dict[str, int], tuple[str, ...]]:
    """All different sources, the index of each task's, and what is to be said about them."""
    sources: list[Source] = []
    indices: dict[str, int] = {}
    notes: dict[str, None] = {}
    for task in taskfile.tasks:
        fact = facts[_wanted(taskfile, task, file)]
        source = _source(taskfile, task, fact)
        if source not in sources:
            sources.append(source)
        indices[task.id] = sources.index(source)
        notes.update(dict.fromkeys(fact.notes))
    return tuple(sources), indices, tuple(notes)


def _source(taskfile: TaskFile, task: TaskPart, fact: RepoFacts) -> Source:
    return Source(
        repo=fact.repo,
        git_dir=fact.git_dir,
        base=fact.base,
        base_name=fact.base_name,
        history=task.history or taskfile.history,
        image=_image(task.image or taskfile.image),
        setup=taskfile.setup if task.setup is None else task.setup,
        include=taskfile.include if task.include is None else task.include,
    )


def _image(image: ImagePart | None) -> ImageSpec:
    if image is None:
        return ImageSpec()
    if image.name is not None:
        return ImageSpec(kind="name", name=image.name)
    if image.build is not None:
        return ImageSpec(kind="build", path=image.build)
    inner = image.devcontainer.ignore if image.devcontainer else ()
    return ImageSpec(kind="devcontainer", ignore=tuple(dict.fromkeys((*image.ignore, *inner))))


# -- profiles and tasks


def _profiles(
    taskfile: TaskFile, file: Path, versions: Mapping[str, str], places: Mapping[str, tuple[str, ...]]
) -> tuple[Profile, ...]:
    used = {name for task in taskfile.tasks for name in _runs(taskfile, task)}
    retried = _compared(taskfile) if retries.are_compared(taskfile) else ()
    answering = None if taskfile.on_limit == "next-account" else 1
    return tuple(
        _profile(
            name,
            agent,
            agent.upstream or taskfile.upstream or "service",
            file,
            retries.of_file(taskfile) if name in retried else None,
            versions.get(agent.cli),
            tuple(dict.fromkeys(places.get(agent.cli, ())[:answering])),
        )
        for name, agent in taskfile.agents.items()
        if name in used
    )


def _profile(
    name: str,
    agent: AgentPart,
    upstream: str,
    file: Path,
    retry: Retry | None,
    version: str | None,
    places: tuple[str, ...],
) -> Profile:
    settings = _settings(agent)
    kind, _, path = upstream.partition(":")
    place = str(file.parent / path) if path else None
    places = places if kind == "service" else ()
    return Profile(
        name=name,
        settings=settings,
        upstream=Upstream.model_validate({"kind": kind, "script": place, "places": places}),
        hash=settings_hash(settings, upstream, places=places, version=version, retry=retry),
        version=version,
        at_once=agent.at_once,
    )


def _settings(agent: AgentPart) -> Settings:
    if isinstance(agent, ClaudePart):
        return ClaudeSettings(model=agent.model, effort=agent.effort, args=agent.args, env=agent.env)
    if isinstance(agent, CodexPart):
        return CodexSettings(
            model=agent.model,
            effort=agent.effort,
            verbosity=agent.verbosity,
            args=agent.args,
            env=agent.env,
        )
    return CommandSettings(run=agent.run, env=agent.env)


def _task(taskfile: TaskFile, task: TaskPart, source: int, file: Path) -> Task:
    limits = taskfile.limits.model_dump(exclude_none=True)
    network = task.network or taskfile.network
    if task.limits is not None:
        limits |= task.limits.model_dump(exclude_none=True)
    return Task(
        id=task.id,
        kind=task.kind,
        prompt=mention(task.prompt or "")[1],
        source=source,
        checks=tuple(CheckSpec(name=name, **part.model_dump()) for name, part in (task.check or {}).items()),
        check_base=task.check_base,
        protect=task.protect,
        hidden=None if task.hidden is None else Hidden(path=str(file.parent / task.hidden)),
        needs=task.needs,
        may_be_empty=task.may_be_empty,
        priority=task.priority,
        compared=taskfile.compares(task),
        limits=Limits(**limits),
        retry=retries.of_task(taskfile, task),
        health=Health.model_validate((task.health or HealthPart()).over(taskfile.health)),
        runtime=taskfile.runtime,
        network=tuple(allowed_host(text) for text in network.allow),
        hosted=network.hosted,
        for_each=_for_each(task.for_each),
        any_item=task.fan_in == "any",
        when=task.when,
        passes=task.pass_,
        paths=task.paths,
        refuse_outside=task.outside_paths == "refuse",
        mail=_mail(taskfile, task),
    )


def _for_each(part: ForEachPart | None) -> ForEach | None:
    return None if part is None else ForEach(**part.model_dump(exclude_none=True))


def _mail(taskfile: TaskFile, task: TaskPart) -> MailTerms | None:
    mail = task.mail if "mail" in task.model_fields_set else taskfile.mail
    return None if mail is None else MailTerms(wait=mail.wait or 0.0)


def _unused(taskfile: TaskFile) -> Iterator[str]:
    used = {name for task in taskfile.tasks for name in _runs(taskfile, task)}
    for name in taskfile.agents:
        if name not in used:
            yield f"no task uses the agent {name!r}"


# -- attempts


def _seed(taskfile: TaskFile, drawn: int | None) -> int | None:
    """What the order of compared attempts comes from: what the file says, or else what was drawn."""
    if taskfile.compare is None:
        return None
    return drawn if taskfile.compare.seed is None else taskfile.compare.seed


def _compared(taskfile: TaskFile) -> tuple[str, ...]:
    return taskfile.compare.agents if taskfile.compare else ()


def _runs(taskfile: TaskFile, task: TaskPart) -> tuple[str, ...]:
    return who_runs(task.named_agent, _compared(taskfile), taskfile.default_agent, taskfile.agents)


def _lanes(taskfile: TaskFile, task: TaskPart) -> list[AttemptKey]:
    """A task's attempts, in profile order."""
    repeats = taskfile.compare.repeats if taskfile.compare and taskfile.compares(task) else 1
    return [
        AttemptKey(task.id, profile, n) for profile in _runs(taskfile, task) for n in range(1, repeats + 1)
    ]


def _too_many(taskfile: TaskFile) -> Iterator[Problem]:
    repeats = taskfile.compare.repeats if taskfile.compare else 1
    compared = sum(taskfile.compares(task) for task in taskfile.tasks)
    total = compared * len(_compared(taskfile)) * repeats + len(taskfile.tasks) - compared
    if total > MOST_ATTEMPTS:
        line = taskfile.line("compare", "repeats") or taskfile.line("tasks")
        yield Problem(
            f"{total} attempts; at most {MOST_ATTEMPTS}", line, "split the file, or lower `repeats`"
        )


def _left_undone(taskfile: TaskFile) -> Iterator[Problem]:
    """Tasks that need what may never be done, since the comparison ends before."""
    if taskfile.compare is None or taskfile.compare.stop_when is None:
        return
    compared = {task.id for task in taskfile.tasks if taskfile.compares(task)}
    for index, task in enumerate(taskfile.tasks):
        needs = compared.intersection(task.needs)
        if task.id not in compared and needs:
            yield Problem(
                f"task {task.id!r} needs {min(needs)!r}, which `stop_when: decided` may leave undone",
                taskfile.line("tasks", index, "needs"),
                "remove `stop_when`, or do what needs a comparison in a run of its own",
            )


@dataclass(frozen=True)
class _Graph:
    """What of the whole file each attempt depends on."""

    lanes: Mapping[str, list[AttemptKey]]
    compared: Collection[str]
    fanned: Collection[str]
    before: Mapping[str, str]
    """In a sequential run, the task before each."""
    sequential: bool

    def candidates(self, key: AttemptKey, task: str) -> tuple[str, ...]:
        """Which attempts of another task can serve this one: where both are compared, that of its lineage."""
        lineage, same = key.task in self.compared and task in self.compared, (key.profile, key.n)
        return tuple(
            str(other) for other in self.lanes[task] if not lineage or (other.profile, other.n) == same
        )


def _attempts(taskfile: TaskFile, tasks: tuple[Task, ...], seed: int | None) -> tuple[PlannedAttempt, ...]:
    """All attempts, in the order in which they may start."""
    graph = _Graph(
        lanes={task.id: _lanes(taskfile, task) for task in taskfile.tasks},
        compared={task.id for task in taskfile.tasks if taskfile.compares(task)},
        fanned={task.id for task in taskfile.tasks if task.for_each is not None},
        before=_sequence(taskfile) if taskfile.mode == "sequential" else {},
        sequential=taskfile.mode == "sequential",
    )
    planned = [_planned(task, key, graph) for task in taskfile.tasks for key in graph.lanes[task.id]]
    return ordered(planned, tasks, _compared(taskfile), seed)


def _sequence(taskfile: TaskFile) -> dict[str, str]:
    """The task before each, where one follows another: as they are written, needs first."""
    written = [task.id for task in taskfile.tasks]
    order = topological(written, {task.id: task.needs for task in taskfile.tasks})
    return dict(zip(order[1:], order, strict=False))


def _planned(task: TaskPart, key: AttemptKey, graph: _Graph) -> PlannedAttempt:
    groups = {need: graph.candidates(key, need) for need in task.needs}
    asked = {one.task for one in comparisons(parse(task.when))} if task.when is not None else set()
    chained = graph.sequential and task.from_ is None
    single = [need for need in task.needs if need not in graph.fanned]
    start = None if chained else starts_from(single, task.from_)
    return PlannedAttempt(
        task=key.task,
        profile=key.profile,
        n=key.n,
        after=tuple(group for need, group in groups.items() if need not in asked),
        start=groups[start] if start is not None else (),
        settled=tuple(name for need, group in groups.items() if need in asked for name in group),
        previous=graph.candidates(key, graph.before[key.task]) if key.task in graph.before else (),
        checkpoint=chained,
    )
