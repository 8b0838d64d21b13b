"""From a task file to a plan, with the facts about its repositories looked up; nothing is written."""

from __future__ import annotations

import itertools
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from runner import names
from runner.agents import catalog
from runner.errors import Problem, TaskFileError, UsageError
from runner.gateway.booking import prices
from runner.git import trusted
from runner.git.base_store import BaseStore
from runner.sandbox.chain import check
from runner.settings import Settings
from runner.supervisor.attempt import hidden
from runner.supervisor.attempt.includes import read_includes
from runner.tasks.advice import advice
from runner.tasks.fanout import FanOutError, expand
from runner.tasks.fields import LARGEST_SEED
from runner.tasks.items import ItemError, bounded
from runner.tasks.plan import Plan, Source
from runner.tasks.planning import RepoFacts, Unusable, make_plan, wanted_repos
from runner.tasks.taskfile import TaskFile, load

LATEST = "latest"
"""What commands call the latest run."""
LARGEST = 64 * 1024 * 1024
MOST_NAMES = 1000
LONGEST_STEM = 58
"""Characters of a run's name that leave room for a number behind it."""


def read(file: Path) -> TaskFile:
    """Read a task file.

    Raises:
        UsageError: It can't be read, or something in it is wrong.
    """
    try:
        if file.stat().st_size > LARGEST:
            raise UsageError(f"{file} is larger than {LARGEST // 1024**2} MiB", cure="is it a task file?")
        text = file.read_bytes().decode("utf-8")
    except OSError as error:
        missing = isinstance(error, FileNotFoundError)
        cure = "`corral init` writes a first one" if missing else "name a task file"
        raise UsageError(f"{file} can't be read: {error.strerror}", cure=cure) from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{file} is not UTF-8 text (byte {error.start})", cure="save it as UTF-8") from error
    return load(text, file)


def plan(
    file: Path,
    taken: list[str],
    name: str | None = None,
    *,
    record: bool = False,
    settings: Settings | None = None,
) -> Plan:
    """The plan of a task file.

    Args:
        file: The task file.
        taken: Names of runs that exist.
        name: The run's name; by default the file's `name:` or the time, with a number where it is taken.
        record: Whether its model traffic is recorded, whatever the file says.
        settings: Who answers for models on this host, which is a part of what profiles are; None for nobody.

    Raises:
        UsageError: The file, one of its repositories, or a branch in the way.
    """
    file = file.absolute()
    tasks = read(file)
    facts = {wanted: _facts(*wanted) for wanted in wanted_repos(tasks, file)}
    draft = make_plan(
        tasks,
        file,
        run_name(name, tasks.name, taken),
        facts,
        versions=catalog.VERSIONS,
        places={} if settings is None else {c: settings.services_of(d) for c, d in catalog.DIALECTS.items()},
        seed=secrets.randbelow(LARGEST_SEED + 1),
    )
    if name is None:
        draft = _renamed(draft, tasks.name, taken)
    in_the_way = _in_the_way(draft)
    if in_the_way:
        said = f"a branch is in the way of the run's branches: {', '.join(in_the_way[:5])}"
        cure = "delete or rename it, or set `branch_prefix:` to another name"
        raise TaskFileError(file, [Problem(said, tasks.line("branch_prefix"), cure)])
    _readable_includes(draft, tasks, file)
    draft = _with_hidden(draft, tasks, file)
    _known_prices(draft, tasks, file)
    notes = (*draft.notes, *_makeable_images(draft, tasks, file), *_nothing_to_protect(draft))
    draft = _for_each(draft, tasks, file)
    return draft.model_copy(update={"notes": (*notes, *advice(draft)), "record": draft.record or record})


def _for_each(draft: Plan, tasks: TaskFile, file: Path) -> Plan:
    """The plan with a task for each item, where these are written or are files of the base commit."""
    for index, part in enumerate(tasks.tasks):
        task = draft.task(part.id) if part.for_each is not None else None
        if task is None or task.for_each is None or task.for_each.command is not None:
            continue
        try:
            items = task.for_each.items or _files(draft.sources[task.source], task.for_each.files)
            draft = expand(draft, task.id, items)
        except FanOutError as error:
            line = tasks.line("tasks", index, "for_each")
            raise TaskFileError(file, [Problem(f"task {task.id!r}: {error}", line, error.cure)]) from error
    return draft


def _files(source: Source, patterns: tuple[str, ...]) -> tuple[str, ...]:
    """The files of a base commit that are meant: what lies in the work tree does not count."""
    found = BaseStore(Path(source.git_dir), source.base).matching(patterns)
    if not found:
        said = f"no file of {source.base_name} is meant by {', '.join(patterns)}"
        raise FanOutError(
            said, "write it like 'src/**/*.py', relative to the repository's top; only commits count"
        )
    try:
        return bounded(path.decode("utf-8", errors="surrogateescape") for path in found)
    except ItemError as error:
        raise FanOutError(str(error), "leave it out by a pattern that begins with `!`") from error


def _readable_includes(draft: Plan, tasks: TaskFile, file: Path) -> None:
    """See that what is to be included can be."""
    for index, task in enumerate(draft.tasks):
        try:
            read_includes(draft.sources[task.source])
        except UsageError as error:
            line = tasks.line("tasks", index, "include") or tasks.line("include")
            raise TaskFileError(file, [Problem(error.message, line, error.cure)]) from error


def _with_hidden(draft: Plan, tasks: TaskFile, file: Path) -> Plan:
    """The plan with what hidden directories hold now, which no agent may be given otherwise."""
    digests: dict[tuple[str, int, tuple[str, ...]], str] = {}
    notes: dict[str, None] = {}
    made = []
    for index, task in enumerate(draft.tasks):
        if task.hidden is None:
            made.append(task)
            continue
        place = (task.hidden.path, task.source, task.commands)
        try:
            if place not in digests:
                files = hidden.read(Path(task.hidden.path))
                told = hidden.out_of_sight(
                    Path(task.hidden.path), files, draft.sources[task.source], task.commands
                )
                notes |= dict.fromkeys(told)
                digests[place] = hidden.digest(files)
        except UsageError as error:
            line = tasks.line("tasks", index, "hidden")
            raise TaskFileError(file, [Problem(error.message, line, error.cure)]) from error
        now = task.hidden.model_copy(update={"digest": digests[place]})
        made.append(task.model_copy(update={"hidden": now}))
    # Made anew, since a copy would keep what was looked up in the other one.
    changed = {"tasks": tuple(made), "notes": (*draft.notes, *notes)}
    return Plan(**{name: getattr(draft, name) for name in Plan.model_fields} | changed)


def _known_prices(draft: Plan, tasks: TaskFile, file: Path) -> None:
    """See that money can be counted where a cap in money is to hold."""
    if not any(caps.usd is not None for caps in draft.budget.caps().values()):
        return
    for profile in draft.profiles:
        settings = profile.settings
        dialect = catalog.dialect(settings)
        if settings.cli == "command" or dialect is None:
            continue
        if not prices.is_known(dialect, settings.model, draft.prices):
            said = f"the price of {settings.model!r} is not known, so a budget in `usd` can't hold for it"
            cure = f"say under `prices:` what {settings.model!r} costs, or cap `tokens` instead of `usd`"
            raise TaskFileError(file, [Problem(said, tasks.line("budget"), cure)])


def _makeable_images(draft: Plan, tasks: TaskFile, file: Path) -> tuple[str, ...]:
    """See that the images can be made of the base commits; returns what a person should know of that."""
    notes: dict[str, None] = {}
    seen: set[int] = set()
    for index, task in enumerate(draft.tasks):
        source = draft.sources[task.source]
        if task.source in seen:
            continue
        seen.add(task.source)
        try:
            unused = check(source.image, BaseStore(Path(source.git_dir), source.base))
        except UsageError as error:
            line = tasks.line("tasks", index, "image") or tasks.line("image")
            raise TaskFileError(file, [Problem(error.message, line, error.cure)]) from error
        if unused:
            notes[f"of the dev container of {source.repo}, not used here: {', '.join(unused)}"] = None
    return tuple(notes)


def _nothing_to_protect(draft: Plan) -> Iterator[str]:
    """Paths that are to be protected and are not there: mistyped, perhaps."""
    for task in draft.tasks:
        source = draft.sources[task.source]
        files = BaseStore(Path(source.git_dir), source.base)
        for path in task.protect:
            if not files.has(path):
                yield f"task {task.id} protects {path}, which the base does not have"


def again(draft: Plan, stem: str, taken: list[str]) -> Plan:
    """The plan as that of another run, of a name that is free.

    Raises:
        UsageError: A branch is in the way of its branches, whatever the name.
    """
    stem = stem[:LONGEST_STEM].rstrip(".-_")
    draft = _renamed(draft.model_copy(update={"run": run_name(None, stem, taken)}), stem, taken)
    if in_the_way := _in_the_way(draft):
        said = f"a branch is in the way of the run's branches: {', '.join(in_the_way[:5])}"
        raise UsageError(said, cure="delete or rename it")
    return draft


def _renamed(draft: Plan, stem: str | None, taken: list[str]) -> Plan:
    """The plan under the next name whose branches are free, if another name is all that it takes."""
    for _ in range(MOST_NAMES):
        in_the_way = _in_the_way(draft)
        run = f"{draft.branch_prefix}/{draft.run}"
        if not in_the_way or not all(name == run or name.startswith(f"{run}/") for name in in_the_way):
            break
        taken = [*taken, draft.run]
        draft = draft.model_copy(update={"run": run_name(None, stem, taken)})
    return draft


def run_name(wanted: str | None, stem: str | None, taken: list[str], now: float | None = None) -> str:
    """A name for a run that no other run has.

    Args:
        wanted: The name that a person asked for, which must be free.
        stem: What to make a name from otherwise; the time, if None.
        taken: Names of runs that exist.
        now: The time, in seconds since the epoch.

    Raises:
        UsageError: The wanted name is taken, or can't be a part of a branch's name.
    """
    taken = [*taken, LATEST]
    if wanted is not None:
        if wanted == LATEST:
            raise UsageError(f"{LATEST!r} means the latest run, whatever its name", cure="give another name")
        if not names.is_id(wanted):
            raise UsageError(f"a run can't be called {wanted!r}", cure=f"use {names.ID_RULE}")
        if wanted in taken:
            raise UsageError(f"there is a run called {wanted!r}", cure="give another name")
        return wanted
    stem = stem or time.strftime("%Y%m%d-%H%M%S", time.localtime(now))
    candidates = itertools.chain(
        (stem,), (f"{stem[:LONGEST_STEM]}-{number}" for number in itertools.count(2))
    )
    return next(candidate for candidate in candidates if candidate not in taken)


def _in_the_way(draft: Plan) -> list[str]:
    found = (
        trusted.taken_branches(Path(source.git_dir), draft.branch_prefix, draft.run)
        for source in draft.sources
    )
    return list(dict.fromkeys(branch for branches in found for branch in branches))


def _facts(repo: Path, base: str) -> RepoFacts | Unusable:
    try:
        pinned = trusted.pin(repo, base)
    except UsageError as error:
        about: Literal["repo", "base"] = "base" if isinstance(error, trusted.BaseError) else "repo"
        return Unusable(error.message, error.cure, about)
    return RepoFacts(
        repo=pinned.repo, git_dir=pinned.git_dir, base=pinned.base, base_name=base, notes=pinned.notes
    )
