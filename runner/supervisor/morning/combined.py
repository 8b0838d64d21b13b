"""The checks of several tasks on one commit that holds their work together, in clean containers."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from runner import names
from runner.errors import EngineError
from runner.gateway.grants import Account
from runner.gather.quarantine import open_to_read
from runner.git.base_store import base_store
from runner.names import AttemptKey
from runner.sandbox import workspace
from runner.sandbox.workspace import Workspace
from runner.supervisor.attempt.includes import read_includes
from runner.supervisor.attempt.spec import AttemptSpec
from runner.supervisor.attempt.verifying import Bench, Commit, Verification
from runner.supervisor.outfit import Means
from runner.supervisor.verified import CheckResult
from runner.tasks.plan import CommandSettings, Plan, Profile, Task

TOGETHER = "integration"
"""In the place of a profile's name, for containers that check the work of many."""

Verify = Callable[[Path, str, tuple[str, ...]], tuple[CheckResult, ...]]
"""Runs checks on a commit: the bare repository with its objects, its id, and whose checks are run."""


class Combined:
    """Runs the checks of tasks of one source on commits that build on its base.

    Checks that are the same to the letter, over the same files, are run once for all tasks that have them.
    Each passes on the work of its own task; so what fails here is asked twice (`judging.once_more`).

    Args:
        plan: The run's plan.
        source: The index of the source.
        means: What it works with; its run is this process's.
        on_line: Called with build output of its image, where that is not there any more.
        stop: Set when a person wants no more to be run.
    """

    def __init__(
        self,
        plan: Plan,
        source: int,
        means: Means,
        on_line: Callable[[str], None],
        stop: threading.Event | None = None,
    ) -> None:
        self._plan = plan
        self._source = plan.sources[source]
        self._means = means
        self._stop = stop or threading.Event()
        self._image = means.images.prepare(self._source, None, on_line)
        bases = means.rooms.home / "bases"
        self._base = base_store(bases, Path(self._source.git_dir), self._source.base)

    def __call__(self, objects: Path, commit: str, tasks: tuple[str, ...]) -> tuple[CheckResult, ...]:
        """What the checks of these tasks say of a commit, each under the name of its task.

        Args:
            objects: A bare repository that holds all objects of the commit, but for the base's history.
            commit: The commit.
            tasks: The tasks' ids.

        Raises:
            EngineError: A check could not be run.
            UsageError: An included file is not there any more.
        """
        open_to_read(objects)
        told: list[CheckResult] = []
        for task in _distinct([self._plan.task(name) for name in tasks]):
            told += self._of_task(task, Commit(commit, objects))
        return tuple(told)

    def _of_task(self, task: Task, commit: Commit) -> Iterator[CheckResult]:
        rooms = self._means.rooms
        key = AttemptKey(task.id, TOGETHER)
        spec = AttemptSpec(
            run=self._plan.run,
            key=key,
            box=names.box_id(str(rooms.home), self._plan.run, key),
            task=task,
            profile=Profile(name=TOGETHER, settings=CommandSettings(run=("true",)), hash=""),
            source=self._source,
            base=self._source.base,
            branch="",
            image=self._image,
            accesses=(),
            account=Account(),
            include=read_includes(self._source),
        )
        with self._space(spec) as space:
            bench = Bench(spec, rooms, space, self._base, self._stop)
            log = rooms.log(self._plan.run, key, "check.log")
            alone = tuple(CheckResult(name=check.name, check="passed") for check in task.checks)
            made = Verification(bench, task.checks, commit, task.protect, log)
            for one in made.results(alone):
                named = task.id if len(task.checks) == 1 else f"{task.id}: {one.name}"
                yield one.model_copy(update={"name": named, "before": None})

    @contextmanager
    def _space(self, spec: AttemptSpec) -> Iterator[Workspace]:
        """A place for checks alone, removed with all that is in it."""
        rooms, git_dir = self._means.rooms, Path(self._source.git_dir)
        space = Workspace(spec.box, rooms.home / "w" / spec.box)
        if space.root.exists():  # of a process that was killed
            self._remove(space, git_dir)
        workspace.remember(space, spec.run, git_dir)
        try:
            workspace.lay_out_clean(space, spec.include)
            yield space
        finally:
            self._remove(space, git_dir)

    def _remove(self, space: Workspace, git_dir: Path) -> None:
        rooms = self._means.rooms
        home = names.home_id(str(rooms.home))
        for box in rooms.engine.find(names.label_filters(home, self._plan.run)):
            if box.labels.get(names.LABEL_ROLE) == "check":
                rooms.engine.remove(box.id)
                rooms.engine.wait_gone(box.id)
        with suppress(EngineError):
            rooms.disks.free(space.id)
        shutil.rmtree(space.root / "in", ignore_errors=True)
        workspace.take_down(space, git_dir, rooms.locks)
        workspace.forget(space)


def _distinct(tasks: list[Task]) -> Iterator[Task]:
    """The tasks with checks, each check once: with the first task that has it."""
    seen: set[tuple[object, ...]] = set()
    for task in tasks:
        own = (task.protect, task.hidden, task.item, task.limits)
        checks = tuple(check for check in task.checks if (check, *own) not in seen)
        seen |= {(check, *own) for check in checks}
        if checks:
            yield task.model_copy(update={"checks": checks})
