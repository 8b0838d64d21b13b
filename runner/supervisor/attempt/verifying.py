"""Checks on a commit, each in a clean container of its own: what they say, on the base too, and how surely.

A check sees the commit's files, protected paths as the base has them, what setup kept, included and hidden
files; it has no network, no gateway, and nothing of the agent's but the commit. What was done is remembered,
so that a verification that an absent engine cut short goes on where it was.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from runner.agents.launch import environment
from runner.errors import EngineAwayError, EngineError
from runner.gather import junit
from runner.gather.findings import Between
from runner.git.base_store import BaseStore
from runner.guarded import GuardedError
from runner.sandbox import outbox, workspace
from runner.sandbox.workspace import Workspace
from runner.supervisor.attempt import hidden, judging
from runner.supervisor.attempt.check import Checked, run_check
from runner.supervisor.attempt.judging import Look
from runner.supervisor.attempt.spec import AttemptSpec, Rooms, box_spec
from runner.supervisor.verified import CheckResult
from runner.tasks.checks import JUNIT
from runner.tasks.items import variables
from runner.tasks.plan import CheckSpec

_ITS_OWN = {"PYTHONPYCACHEPREFIX": "/tmp/pycache"}  # noqa: S108
"""What Python compiled before lies in the tree as the work has it, and could stand for other tests."""
REPORT = ".corral-junit.xml"
"""The file in a check's HOME that its report is read from."""

_COPYING = 'rm -rf -- "$2"; sh -c "$1"; code=$?; [ ! -f "$2" ] || cp -f -- "$2" "$CORRAL_JUNIT"; exit "$code"'
"""Runs a check that writes its report elsewhere, and puts that where it is read. One that came along goes."""


@dataclass(frozen=True)
class Commit:
    """What is checked: a commit whose objects lie in a bare repository, or in the base store.

    `base` is the commit that protected paths are taken from, where that is another one than the bench's.
    """

    tip: str
    objects: Path
    base: str | None = None


class Bench:
    """A clean place for one check after another, on commits that build on one base.

    Args:
        spec: Whose checks they are: its task's limits and files, its image, its name.
        rooms: What it works with.
        space: Where the places are made; its inputs are there already.
        base: The history that the commits build on.
        stop: Set when a person wants no more to be run.
    """

    def __init__(
        self, spec: AttemptSpec, rooms: Rooms, space: Workspace, base: BaseStore, stop: threading.Event
    ) -> None:
        self._spec = spec
        self._rooms = rooms
        self._space = space
        self._base = base
        self._stop = stop

    @property
    def base(self) -> BaseStore:
        """The history that the commits build on."""
        return self._base

    def run(self, check: CheckSpec, commit: Commit, protect: tuple[str, ...], log: Path) -> Look:
        """Run a check once.

        Args:
            check: What is run.
            commit: On which commit.
            protect: Which paths are as the base has them.
            log: The file to which its output is added.

        Raises:
            EngineError: It could not be run.
        """
        spec, rooms = self._spec, self._rooms
        task = spec.task
        with self._place(protect):
            env = environment("", variables(task.item)) | {JUNIT: f"/home/agent/{REPORT}", **_ITS_OWN}
            base = commit.base or self._base.commit
            argv = ("/opt/corral/enter", "check", commit.tip, base, *_command(check))
            unseen = None if task.hidden is None else hidden.place(rooms.home, task.hidden)
            mounts = self._space.check_mounts(rooms.disks.seen(spec.box), self._base, commit.objects, unseen)
            box = box_spec(spec, rooms, "check", argv, env, mounts)
            box = replace(box, memory=check.memory or box.memory, cpus=check.cpus or box.cpus)
            limit = check.time or task.limits.time
            checked = run_check(rooms.engine, box, log, limit, self._stop)
            return judging.proved(check, Look(checked, self._report(checked)))

    @contextmanager
    def _place(self, protect: tuple[str, ...]) -> Iterator[None]:
        """The check's place, made anew and given back."""
        spec, disks = self._spec, self._rooms.disks
        workspace.lay_out_check(self._space, self._base, protect)
        disks.make(spec.box, "check", spec.task.limits.disk, self._rooms.owner)
        try:
            yield
        finally:
            with suppress(EngineError):  # then it goes with all the rest
                disks.drop(spec.box, "check")

    def _report(self, checked: Checked) -> junit.Report | None:
        if checked.exit_code is None:
            return None
        try:
            content = outbox.report(self._rooms.steward, self._spec.box, REPORT, junit.LARGEST)
        except EngineAwayError:
            raise
        except GuardedError as error:
            return junit.UNREAD if error.why == "too-large" else None
        except EngineError:
            return None
        return junit.read(content)


def inside(files: Iterable[str], paths: Iterable[str]) -> tuple[str, ...]:
    """Those of these files that lie at one of these paths or below."""
    given = tuple(str(PurePosixPath(path)) for path in paths)
    return tuple(name for name in files if any(name == path or name.startswith(f"{path}/") for path in given))


def outside(files: Iterable[str], paths: Iterable[str]) -> tuple[str, ...]:
    """Those of these files that lie at none of these paths nor below one."""
    known = tuple(files)
    without = set(inside(known, paths))
    return tuple(name for name in known if name not in without)


def _command(check: CheckSpec) -> tuple[str, ...]:
    if check.junit is None:
        return "sh", "-c", check.run
    return "sh", "-c", _COPYING, "check", check.run, check.junit


class Verification:
    """All checks of one task on one commit.

    Args:
        bench: Where they are run.
        checks: The checks.
        commit: The commit.
        protect: Which paths are as the base has them.
        log: The file that their output goes to; what they print on the base goes to `before.log` beside it.
    """

    def __init__(
        self, bench: Bench, checks: tuple[CheckSpec, ...], commit: Commit, protect: tuple[str, ...], log: Path
    ) -> None:
        self._bench = bench
        self._checks = checks
        self._commit = commit
        self._protect = protect
        self._log = log
        self._looks: dict[str, list[Look]] = {check.name: [] for check in checks}
        self._second: dict[str, list[Look]] = {check.name: [] for check in checks}
        self._base: dict[str, Look] = {}

    def on_base(self) -> tuple[CheckResult, ...]:
        """What the checks say of the base commit itself.

        Raises:
            EngineError: One of them could not be run.
        """
        commit = replace(self._commit, tip=self._bench.base.commit)
        log = self._log.with_name(f"{self._log.name.removesuffix('.check.log')}.before.log")
        for check in self._checks:
            if check.name not in self._base:
                self._base[check.name] = self._bench.run(check, commit, (), log)
        return tuple(
            judging.result(check, [self._base[check.name]], None, names=True) for check in self._checks
        )

    def results(self, before: tuple[CheckResult, ...]) -> tuple[CheckResult, ...]:
        """What the checks say of the commit.

        Args:
            before: What they say of the base, as far as that is known.

        Raises:
            EngineError: One of them could not be run.
        """
        known = {one.name: one for one in before}
        for check in self._checks:
            looks, said = self._looks[check.name], known.get(check.name)
            while not looks or judging.once_more(check, looks, None if said is None else said.check):
                self._head(check, len(looks))
                looks.append(self._bench.run(check, self._commit, self._protect, self._log))
        return tuple(
            judging.result(check, self._looks[check.name], known.get(check.name)) for check in self._checks
        )

    def without_steering(
        self,
        told: tuple[CheckResult, ...],
        work: Between,
        wanted: Iterable[str],
        planted: Collection[str] = (),
        cure: str = "",
    ) -> tuple[CheckResult, ...]:
        """The results as they count where work changes files that steer checks.

        Each check that passed is asked once more, as often as it takes, on a commit that has these files as
        they were.

        Args:
            told: What the checks said; only where all passed there is something to ask.
            work: The commit that was checked, beside the base that such files are taken from.
            wanted: The paths that a person wants changed: what lies there is left as it is, and so is what
                this verification restores.
            planted: Files that the base of the work has otherwise than the one given here.
            cure: What a person can do who wants these as they are.

        Raises:
            GitError: Such a commit could not be made.
            EngineError: A check could not be run.
        """
        if judging.in_all(told)[0] != "passed":
            return told
        files = outside(work.steering(tuple(one.run for one in self._checks)), (*wanted, *self._protect))
        if not files and not planted:
            return told
        commit = replace(self._commit, tip=work.without(files), base=self._commit.base or work.base)
        own = [name for name in files if name not in planted]
        counted = []
        for check, one in zip(self._checks, told, strict=True):
            looks = self._second[check.name]
            while not looks or judging.once_more(check, looks, "passed"):
                self._head(check, one.runs + len(looks), " without files that steer it")
                looks.append(self._bench.run(check, commit, self._protect, self._log))
            counted.append(
                judging.without(one, judging.result(check, looks, None), own, tuple(planted), cure)
            )
        return tuple(counted)

    def _head(self, check: CheckSpec, number: int, more: str = "") -> None:
        """Say in the log what comes next; the first run of an only check speaks for itself."""
        first = number == 0 and not more and check is self._checks[0]
        if first:
            self._log.unlink(missing_ok=True)
        if first and len(self._checks) == 1:
            return
        self._log.parent.mkdir(parents=True, exist_ok=True)
        again = f", run {number + 1}" if number else ""
        with self._log.open("a") as file:
            file.write(f"== {check.name}{again}{more} ==\n")
