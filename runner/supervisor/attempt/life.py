"""One attempt's life, from its commit to its verdict: straight-line, and yielding events as it goes.

    prepare → box runs → box is gone → gather → check → clean → verdict

Knows neither the journal nor the schedule. Whatever way the agent ended, its work is gathered and, if
there is any, the check is run on it. A fault of ours or of the engine's makes the attempt end as
`infrastructure`; what could not come home then stays where it is, and the reason says where. An engine that
is away is waited for first, and what it was asked for is done again.
"""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from runner.errors import CorralError, EngineAwayError, EngineError, ImageGoneError
from runner.gather.findings import Between
from runner.gather.policy import Refused
from runner.gather.quarantine import Quarantine
from runner.git import worktree
from runner.supervisor import events as e
from runner.supervisor.attempt import hidden, judging
from runner.supervisor.attempt.agent_box import AgentBox
from runner.supervisor.attempt.inherited import Inherited
from runner.supervisor.attempt.living import Living
from runner.supervisor.attempt.looking_back import looked_for_answers
from runner.supervisor.attempt.metering import used_by
from runner.supervisor.attempt.outage import Outages
from runner.supervisor.attempt.resuming import in_all, window_of
from runner.supervisor.attempt.salvage import bring_out
from runner.supervisor.attempt.spec import AttemptSpec, Known, Line, Orders, Rooms
from runner.supervisor.attempt.telling import ended_event, limit_words, signs, spent
from runner.supervisor.attempt.verifying import Bench, Commit, Verification
from runner.supervisor.attempt.watch import Watched
from runner.supervisor.host import machine as host
from runner.supervisor.verdict import Check, Ended, Verdict, Work, how_it_ended, served, verdict
from runner.supervisor.verified import CheckResult

T = TypeVar("T")
FAULTS = (CorralError, OSError)
"""What can fail around an attempt without being a bug of ours."""

SCARCE = 1024**3
"""With less room than this on the host's disk, in bytes, it is looked whether a box's writes arrived."""


def drive(
    spec: AttemptSpec, rooms: Rooms, orders: Orders, told: tuple[e.Event, ...] = ()
) -> Iterator[e.Event]:
    """Live one attempt through to its verdict.

    Nothing is destroyed before the event that tells what it was is taken: whoever consumes the events
    may die at any instant, and a later call with what was `told` until then goes on from there.

    Args:
        spec: The attempt.
        rooms: What it works with.
        orders: What ends it from outside; its work still comes home.
        told: What an earlier process noted of this attempt, in order.
    """
    life = _Life(spec, rooms, orders, Known.of(told))
    yield from life.run()
    yield from life.gather()
    yield from life.check()
    yield from life.finish()


class _Life:
    """The stages of `drive`, and what they have to tell each other."""

    def __init__(self, spec: AttemptSpec, rooms: Rooms, orders: Orders, known: Known) -> None:
        self._spec = spec
        self._rooms = rooms
        self._orders = orders
        self._known = known
        self._name = str(spec.key)
        self._box = AgentBox(spec, rooms, known)
        self._outages = Outages(spec, rooms.engine, orders)
        self._is_gone = False
        self._git_dir = Path(spec.source.git_dir)
        self._quarantine: Quarantine | None = None
        self._ended = self._end_event("infrastructure", Watched())
        self._work: Work = "none"
        self._check: Check = "none"
        self._leave_in_place = False

    # -- the agent's box

    def run(self) -> Iterator[e.Event]:
        """Prepare the workspace, start the box, watch it to its end, and see it gone."""
        box = self._box
        if self._known.ended is not None:
            self._ended, box.existed = self._known.ended, self._known.running
            return
        living = Living(self._spec, self._rooms, self._orders, self._known, box, self._outages)
        try:
            yield from living.events()
        except FAULTS as fault:
            yield from self._gone_image(fault)
            self._ended = self._end_event("infrastructure", living.seen, _words(fault))
        else:
            ended = self._judge_end(in_all(living.seen, living.known.held))
            self._ended = ended.model_copy(update={"session": living.session})
        spec, project = self._spec, Path(self._spec.source.repo).name
        sought = looked_for_answers(self._rooms.log(spec.run, spec.key), spec.profile.settings, project)
        self._ended = self._ended.model_copy(update={"sought": sought})
        yield self._ended

    def _judge_end(self, seen: Watched) -> e.AttemptEnded:
        if seen.exit is None:
            raise AssertionError("a life ends with an exit")
        full = self._box.is_full()
        window = window_of(seen, self._spec.account.on_limit)
        ended, reason = how_it_ended(replace(seen.exit, disk_full=full, spent=spent(seen), window=window))
        limits = self._spec.task.limits
        notes = {
            "disk-short": self._box.disk < limits.disk,
            "oom-killed-child": seen.exit.oom_killed and ended != "oom",
            "disk-full": full and ended != "disk",
            "recording-incomplete": seen.model is not None and seen.model.unrecorded > 0,
            "mail-unread": seen.unread,
            "tokens-untold": seen.model is not None and seen.model.untold > 0,
        }
        flags = tuple(note for note, holds in notes.items() if holds)
        if ended == "oom":  # it died between two readings, and at its limit
            seen.measured = replace(seen.measured, peak_memory=limits.memory)
        reason = reason or limit_words(ended, limits, self._box.disk)
        return self._end_event(ended, seen, reason, flags)

    # -- what comes home

    def gather(self) -> Iterator[e.Event]:
        """Bring the work home: out of the workspace, through the quarantine, onto a branch."""
        known = self._known.gathered
        if known is not None and self._known.checked is not None:
            self._work, self._leave_in_place = known.work, known.kept == str(self._box.space.root)
            return
        if not self._box.existed:
            yield e.AttemptGathered(at=time.time(), attempt=self._name, work="none")
            return
        yield self._signs("gathering")
        fault: Exception | None
        try:
            home, fault = yield from self._patiently(self._fetch)
        except EngineAwayError as away:
            home, fault = self._leave(), away
        if fault is not None:
            yield self._fault(fault, f"; its files are in {home.kept}")
        self._work = home.work
        yield home

    def _fetch(self) -> tuple[e.AttemptGathered, Exception | None]:
        """What comes home, and why it is not all, if a fault of ours or of the engine's kept it.

        Raises:
            EngineAwayError: The engine did not answer.
        """
        try:
            self._nothing_runs()
            self._settle()
            return self._bring_home(), None
        except Refused as refused:
            return self._keep("refused", str(refused)), None
        except EngineAwayError:
            raise
        except FAULTS as fault:
            return self._keep("none", ""), fault

    def _nothing_runs(self) -> None:
        """End whatever container of this attempt is left, and see that its git directory is still masked."""
        self._box.end()
        self._is_gone = True
        if not self._box.space.mask_holds:
            raise Refused("the mask over its .git was changed from outside")

    def _settle(self) -> None:
        """See to it that what was written is there, also after a restart and on a host without room.

        Raises:
            EngineError: The host's disk could not take all that the box wrote.
        """
        box, disks = self._spec.box, self._rooms.disks
        if self._known.begun or self._outages.happened:
            disks.reach(box, "agent")
        if host.look(self._rooms.home).disk_free < SCARCE:
            try:
                disks.flush(box, "agent")
            except EngineError as error:
                raise EngineError(
                    f"No space left on the host for what the box wrote: {error.message}"
                ) from error

    def _bring_home(self) -> e.AttemptGathered:
        work, found, left = bring_out(self._spec, self._rooms, self._box.space, self._box.base)
        kept = self._save() if left else None
        if found.is_empty:
            return e.AttemptGathered(at=time.time(), attempt=self._name, work="none", kept=kept, flags=left)
        outside = found.outside(self._spec.task.paths)
        if outside and self._spec.task.refuse_outside:
            raise Refused(outside[0])
        base, commit, branch = self._spec.base, found.commit, self._spec.branch
        worktree.import_commits(self._git_dir, found.path, found.alternates, commit, base, found.size)
        if worktree.has_tree(self._git_dir, branch, commit):
            commit = worktree.branch_commit(self._git_dir, branch) or commit
        else:
            worktree.create_branch(self._git_dir, branch, commit)
        self._quarantine = found
        change = found.change()
        return e.AttemptGathered(
            at=time.time(),
            attempt=self._name,
            work=work,
            branch=branch,
            commit=commit,
            files=change.files,
            insertions=change.insertions,
            deletions=change.deletions,
            kept=kept,
            signs=found.signs(self._spec.task.check, self._spec.task.protect),
            flags=left + outside + found.touched(self._spec.task.protect) + found.flags(),
        )

    def _keep(self, work: Work, reason: str) -> e.AttemptGathered:
        """What is told of work that could not come home: where its files are."""
        kept = self._save()
        return e.AttemptGathered(at=time.time(), attempt=self._name, work=work, reason=reason, kept=kept)

    def _save(self) -> str:
        """Save all files of the attempt: in an archive, or on their disk; or leave them where they are.

        Raises:
            EngineAwayError: The engine did not answer.
        """
        box, name = self._spec.box, f"{self._spec.run}+{self._name.replace('/', '+')}"
        kept = _if_it_can(lambda: self._rooms.steward.keep(box, name))
        kept = kept or _if_it_can(lambda: self._rooms.disks.set_aside(box, name))
        return str(kept) if kept is not None else str(self._leave().kept)

    def _leave(self) -> e.AttemptGathered:
        """What is told of work that stays where it is."""
        self._leave_in_place = True
        kept = str(self._box.space.root)
        return e.AttemptGathered(at=time.time(), attempt=self._name, work="none", kept=kept)

    # -- the check

    def check(self) -> Iterator[e.Event]:
        """Run the task's checks on the gathered commit, in clean containers."""
        if self._known.checked is not None:
            self._check = self._known.checked.check
            return
        task, found = self._spec.task, self._quarantine
        check: tuple[Check, str, int | None] = ("not-run" if task.checks else "none", "", None)
        results: tuple[CheckResult, ...] = ()
        flags: tuple[str, ...] = ()
        if task.checks and found is not None and not self._orders.stop.is_set():
            yield self._signs("checking", Watched(doing=task.check))
            try:
                results, flags = yield from self._verify(found)
                check = judging.in_all(results)
            except FAULTS as fault:
                yield from self._gone_image(fault)
                yield self._fault(fault)
        self._check, reason, code = check
        yield e.AttemptChecked(
            at=time.time(),
            attempt=self._name,
            check=self._check,
            reason=reason,
            exit_code=code,
            seconds=sum(one.seconds or 0.0 for one in results) if results else None,
            checks=results,
            flags=flags,
        )

    def _verify(
        self, found: Quarantine
    ) -> Generator[e.Event, None, tuple[tuple[CheckResult, ...], tuple[str, ...]]]:
        """What the checks say of the work, as it counts, and what a person should know of that."""
        spec, task = self._spec, self._spec.task
        bench = Bench(spec, self._rooms, self._box.space, self._box.base, self._orders.stop)
        log = self._rooms.log(spec.run, spec.key, "check.log")
        inherited = self._inherited(found)
        seen, restored = inherited.seen(task.protect, task.commands)
        commit = Commit(found.tip, found.checked, seen)
        made = Verification(bench, task.checks, commit, task.protect, log)
        before = yield from self._before(made)
        results = yield from self._alone(lambda: made.results(before))
        flags = judging.flags(results, restored, inherited.cure)
        if task.hidden is not None:
            laid_over = found.among(hidden.names(self._rooms.home, task.hidden))
            flags += (f"{judging.HIDDEN}: {', '.join(laid_over)}",) if laid_over else ()
        counted = yield from self._alone(lambda: self._second_look(made, results, found, inherited))
        if judging.in_all(results)[0] == "passed":
            flags += tuple(f"{judging.STEERED}: {why}" for why in judging.steered_words(counted))
        return counted, flags

    def _second_look(
        self,
        made: Verification,
        results: tuple[CheckResult, ...],
        found: Quarantine,
        inherited: Inherited,
    ) -> tuple[CheckResult, ...]:
        """The results as they count: without files that steer checks, of its own or of tasks before it."""
        planted = inherited.planted(self._spec.task.commands)
        since = found.since(inherited.without(planted))
        return made.without_steering(results, since, self._spec.task.paths, planted, inherited.cure)

    def _inherited(self, found: Quarantine) -> Inherited:
        """What its work goes on from, beside the commit that a person gave."""
        base, line = found.base, self._spec.line or Line(found.base.commit)
        borrowed = (base.objects, self._git_dir / "objects")
        return Inherited(Between(found.checked, borrowed, line.given, base.commit), line.wanted, line.tasks)

    def _before(self, made: Verification) -> Generator[e.Event, None, tuple[CheckResult, ...]]:
        """What the checks say of the commit that the work starts from; one attempt finds out for all."""
        spec = self._spec
        if not spec.task.check_base:
            return ()
        with self._rooms.turns.of("before", spec.task.id, spec.base):
            known = spec.before()
            if known is not None:
                return known
            try:
                known = yield from self._alone(made.on_base)
            except EngineAwayError:
                raise
            except FAULTS:
                return ()  # not known: that is nobody's fault who is judged here
            if not self._orders.stop.is_set():
                yield e.CheckedBefore(at=time.time(), task=spec.task.id, base=spec.base, checks=known)
            return known

    def _alone(self, do: Callable[[], T]) -> Generator[e.Event, None, T]:
        """Do something with checks while nothing else of this attempt runs; patiently."""

        def alone() -> T:
            if not self._is_gone:  # the engine was away while a check ran
                self._nothing_runs()
            return do()

        return (yield from self._patiently(alone))

    # -- the end

    def finish(self) -> Iterator[e.Event]:
        """Leave nothing behind but the branch and the record, and give the verdict."""
        reached = verdict(self._ended.ended, self._work, self._check)
        home, left = False, ""
        with contextlib.suppress(EngineAwayError):
            home = yield from self._patiently(lambda: self._keeps_home(reached))
        try:
            if not self._is_gone:
                yield from self._patiently(self._box.end)
        except FAULTS as fault:
            self._leave_in_place = True
            left = f"a container of it may live on, until `corral reap` ends it: {_words(fault)}"
        try:
            yield from self._patiently(self._clean)
        except FAULTS as fault:
            left = left or f"it could not be cleaned up: {_words(fault)}"
        yield e.AttemptFinal(at=time.time(), attempt=self._name, verdict=reached, reason=left, home=home)

    def _keeps_home(self, reached: Verdict) -> bool:
        """Keep HOME where a later try may go on with its conversation; whether it is kept.

        Raises:
            EngineAwayError: The engine did not answer.
        """
        task = self._spec.task
        told = task.prompt or self._ended.session  # a command that is told nothing remembers nothing
        if not told or task.retry.session != "resume" or reached == "infrastructure":
            return False
        if served(reached, may_be_empty=task.may_be_empty):
            return False
        return bool(_if_it_can(self._box.keep_home))

    def _clean(self) -> None:
        try:
            shutil.rmtree(self._rooms.home / "q" / self._spec.box, ignore_errors=True)
            if not self._leave_in_place:
                self._box.take_down()
        finally:
            self._box.revoke()

    # -- parts

    def _patiently(self, do: Callable[[], T]) -> Generator[e.Event, None, T]:
        """Do something, and again from its start each time that the engine was away meanwhile.

        Raises:
            EngineAwayError: It is away for too long, or the run was stopped.
            CorralError: Whatever else it fails of, as OSError.
        """
        while True:
            try:
                return do()
            except EngineAwayError:
                self._is_gone = False
                if not (yield from self._outages.outlast(Watched())):
                    raise

    def _signs(self, stage: str, seen: Watched | None = None) -> e.Signs:
        return signs(self._spec, time.time(), stage, seen or Watched())

    def _gone_image(self, fault: Exception) -> Iterator[e.ImageGone]:
        """That the attempt's image was removed, where a fault comes of that: its next try needs one."""
        if isinstance(fault, ImageGoneError) and fault.image == self._spec.image:
            yield e.ImageGone(at=time.time(), image=fault.image)

    def _fault(self, fault: Exception, more: str = "") -> e.AttemptEnded:
        """The end, told again: a fault of ours came after it."""
        self._is_gone = False
        self._ended = self._ended.model_copy(
            update={"at": time.time(), "ended": "infrastructure", "reason": _words(fault) + more}
        )
        return self._ended

    def _end_event(
        self, ended: Ended, seen: Watched, reason: str = "", flags: tuple[str, ...] = ()
    ) -> e.AttemptEnded:
        used = used_by(self._rooms.home, self._spec.run, self._spec.key)
        return ended_event(self._spec, time.time(), ended, seen, reason, flags, used)


def _if_it_can(do: Callable[[], T]) -> T | None:
    """What comes of something; None if it fails, unless that is for an engine that is away: it is waited for.

    Raises:
        EngineAwayError: The engine did not answer.
    """
    try:
        return do()
    except EngineAwayError:
        raise
    except FAULTS:
        return None


def _words(fault: Exception) -> str:
    text = fault.message if isinstance(fault, CorralError) else str(fault)
    return " ".join(text.split())[:500] or type(fault).__name__
