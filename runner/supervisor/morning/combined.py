"""The checks of several tasks on one commit that holds their work together, in clean containers."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path

from runner import names
from runner.errors import EngineError
from runner.gateway.grants import Account
from runner.gather.findings import Between
from runner.git import closed
from runner.git.base_store import base_store
from runner.names import AttemptKey
from runner.sandbox import workspace
from runner.sandbox.engine import Engine
from runner.sandbox.standing import Post
from runner.sandbox.workspace import Workspace
from runner.settings import Settings
from runner.supervisor.attempt import hidden
from runner.supervisor.attempt.includes import read_includes
from runner.supervisor.attempt.inherited import Inherited
from runner.supervisor.attempt.spec import AttemptSpec, Rooms
from runner.supervisor.attempt.verifying import Bench, Commit, Verification
from runner.supervisor.means import images, standing
from runner.supervisor.verified import CheckResult
from runner.tasks.plan import CommandSettings, Plan, Profile, Source, Task

TOGETHER = "integration"
"""In the place of a profile's name, for containers that check the work of many."""

Verify = Callable[[Path, str, tuple[str, ...], tuple[str, ...]], tuple[CheckResult, ...]]
"""Runs checks on a commit: the bare repository with its objects, its id, the tasks whose checks are run, and
all whose work is in it."""


@contextmanager
def verifier(
    plan: Plan, settings: Settings, environment: Mapping[str, str], on_line: Callable[[str], None]
) -> Iterator[Verify]:
    """What runs the checks of a plan's tasks; what it works with is begun when it is asked first.

    Who asks owns the run: containers that an earlier process of the run left are ended then.

    Args:
        plan: The run's plan.
        settings: The settings.
        environment: For the engine's address.
        on_line: Called with build output of images that are not there any more.
    """
    with ExitStack() as stack:

        @cache
        def combined() -> Combined:
            hidden.keep(plan, settings.home)
            engine = stack.enter_context(Engine(environment))
            maker = images(engine, settings)
            post = Post(engine, maker.steward(on_line), settings.home, plan.run)
            has = stack.enter_context(standing(post))
            rooms = Rooms(
                engine=engine,
                steward=has.steward,
                disks=has.disks,
                steward_image=post.image,
                gateway=None,
                home=settings.home,
                uid=settings.box_uid,
                owner=settings.box_uid + (engine.facts().uid_base or 0),
            )
            return Combined(plan, rooms, lambda source: maker.prepare(source, None, on_line))

        def verify(
            objects: Path, commit: str, tasks: tuple[str, ...], held: tuple[str, ...]
        ) -> tuple[CheckResult, ...]:
            return combined()(objects, commit, tasks, held)

        yield verify


class Combined:
    """Runs the checks of tasks on commits that build on their base.

    Checks that are the same to the letter, over the same files, are run once for all tasks that have them.
    Each passes on the work of its own task; so what fails here is asked twice (`judging.once_more`).

    Args:
        plan: The run's plan.
        rooms: What it works with.
        image: Gives the image prepared for a source.
    """

    def __init__(self, plan: Plan, rooms: Rooms, image: Callable[[Source], str]) -> None:
        self._plan = plan
        self._rooms = rooms
        self._image = image
        self._stop = threading.Event()

    def __call__(
        self, objects: Path, commit: str, tasks: tuple[str, ...], held: tuple[str, ...]
    ) -> tuple[CheckResult, ...]:
        """What the checks of these tasks say of a commit, each under the name of its task.

        Args:
            objects: A bare repository that holds all objects of the commit, but for the base's history.
            commit: The commit.
            tasks: The tasks' ids.
            held: Those of all tasks whose work the commit holds: what their `paths` name is wanted changed.

        Raises:
            EngineError: A check could not be run.
            UsageError: An included file is not there any more.
        """
        closed.open_to_read(objects)
        told: list[CheckResult] = []
        wanted = tuple(path for name in held for path in self._plan.task(name).paths)
        for task in _distinct([self._plan.task(name) for name in tasks]):
            told += self._of_task(task, Commit(commit, objects), wanted)
        return tuple(told)

    def _of_task(self, task: Task, commit: Commit, wanted: tuple[str, ...]) -> Iterator[CheckResult]:
        rooms, source = self._rooms, self._plan.sources[task.source]
        key = AttemptKey(task.id, TOGETHER)
        base = base_store(rooms.home / "bases", Path(source.git_dir), source.base)
        spec = AttemptSpec(
            run=self._plan.run,
            key=key,
            box=names.box_id(str(rooms.home), self._plan.run, key),
            task=task,
            profile=Profile(name=TOGETHER, settings=CommandSettings(run=("true",)), hash=""),
            source=source,
            base=source.base,
            branch="",
            image=self._image(source),
            accesses=(),
            account=Account(),
            include=read_includes(source),
        )
        with self._space(spec) as space:
            bench = Bench(spec, rooms, space, base, self._stop)
            log = rooms.log(self._plan.run, key, "check.log")
            alone = tuple(CheckResult(name=check.name, check="passed") for check in task.checks)
            work = Between(commit.objects, (base.objects,), base.commit, commit.tip)
            seen, _ = Inherited(work, wanted).seen(task.protect, task.commands)
            made = Verification(bench, task.checks, replace(commit, base=seen), task.protect, log)
            for one in made.without_steering(made.results(alone), work, wanted):
                named = task.id if len(task.checks) == 1 else f"{task.id}: {one.name}"
                yield one.model_copy(update={"name": named, "before": None})

    @contextmanager
    def _space(self, spec: AttemptSpec) -> Iterator[Workspace]:
        """A place for checks alone, removed with all that is in it."""
        rooms, git_dir = self._rooms, Path(spec.source.git_dir)
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
        rooms = self._rooms
        home = names.home_id(str(rooms.home))
        for box in rooms.engine.find(names.label_filters(home, self._plan.run)):
            if box.labels.get(names.LABEL_ROLE) == "check":
                rooms.engine.remove(box.id)
                rooms.engine.wait_gone(box.id)
        try:
            rooms.disks.free(space.id)
        except EngineError:
            return  # whose it is stays written down: `corral reap` removes it
        shutil.rmtree(space.root / "in", ignore_errors=True)
        workspace.take_down(space, git_dir, rooms.locks)
        workspace.forget(space)


def _distinct(tasks: list[Task]) -> Iterator[Task]:
    """The tasks with checks, each check once: with the first task that has it."""
    seen: set[tuple[object, ...]] = set()
    for task in tasks:
        own = (task.source, task.runtime, task.protect, task.hidden, task.item, task.limits)
        checks = tuple(check for check in task.checks if (check, *own) not in seen)
        seen |= {(check, *own) for check in checks}
        if checks:
            yield task.model_copy(update={"checks": checks})
