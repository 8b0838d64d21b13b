"""From a task file to a plan, with the facts about its repositories looked up; nothing is written."""

from __future__ import annotations

import time
from pathlib import Path

from runner import names
from runner.errors import Problem, TaskFileError, UsageError
from runner.git import trusted
from runner.tasks.plan import Plan
from runner.tasks.planning import RepoFacts, make_plan, wanted_repos
from runner.tasks.taskfile import TaskFile, load

LARGEST = 64 * 1024 * 1024


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
        raise UsageError(
            f"{file} can't be read: {error.strerror}", cure="corral init writes a first one"
        ) from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{file} is not UTF-8 text (byte {error.start})", cure="save it as UTF-8") from error
    return load(text, file)


def plan(file: Path, taken: list[str], name: str | None = None) -> Plan:
    """The plan of a task file.

    Args:
        file: The task file.
        taken: Names of runs that exist.
        name: The run's name; by default made from the file's, or from the time.

    Raises:
        UsageError: The file, one of its repositories, or a branch in the way.
    """
    file = file.absolute()
    tasks = read(file)
    facts = {wanted: _facts(*wanted) for wanted in wanted_repos(tasks, file)}
    made = make_plan(tasks, file, run_name(name or tasks.name, taken), facts)
    for source in made.sources:
        in_the_way = trusted.taken_branches(Path(source.git_dir), made.branch_prefix, made.run)
        if in_the_way:
            raise TaskFileError(file, [_in_the_way(in_the_way)])
    return made


def run_name(wanted: str | None, taken: list[str], now: float | None = None) -> str:
    """A name for a run that no other run has.

    Raises:
        UsageError: The wanted name is taken, or can't be a part of a branch's name.
    """
    if wanted is not None:
        if not names.is_id(wanted):
            raise UsageError(f"a run can't be called {wanted!r}", cure=f"use {names.ID_RULE}")
        if wanted in taken:
            raise UsageError(f"there is a run called {wanted!r}", cure="give another name")
        return wanted
    stem = time.strftime("%Y%m%d-%H%M%S", time.localtime(now))
    candidates = (stem, *(f"{stem}-{number}" for number in range(2, 10_000)))
    return next(name for name in candidates if name not in taken)


def _facts(repo: Path, base: str) -> RepoFacts:
    pinned = trusted.pin(repo, base)
    return RepoFacts(
        repo=pinned.repo, git_dir=pinned.git_dir, base=pinned.base, base_name=base, notes=pinned.notes
    )


def _in_the_way(branches: list[str]) -> Problem:
    return Problem(
        f"a branch is in the way of the run's branches: {', '.join(branches[:5])}",
        cure="delete or rename it, or set `branch_prefix:` to another name",
    )
