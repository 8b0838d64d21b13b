"""Accepted branches set against each other, and put together on a branch of their own.

Everything is done in a quarantine: a bare repository below the state directory, which borrows the user's
objects. Into the user's repository come, at the end, the objects of the merges and one new branch, which is
never moved: what comes out differently another time gets a branch with a number. The merges depend on nothing
but what they merge, so that the same branches come to the same commit again.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from itertools import count
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from runner import names
from runner.errors import HostError, UsageError
from runner.gather.conflicts import Branch, Matrix, Met, meet, shown
from runner.gather.integration import Candidate, Clash, Outcome, Tip, integrate, ordered
from runner.git import worktree
from runner.git.branches import Repository
from runner.git.closed import GitError
from runner.git.merging import Merging, prepare
from runner.names import AttemptKey
from runner.supervisor import events as e
from runner.supervisor.journal import Journal
from runner.supervisor.morning.chosen import Gathered, cheats, gathered
from runner.supervisor.morning.combined import Verify
from runner.supervisor.morning.joining import joined, passed_over
from runner.supervisor.ownership.lease import owned
from runner.supervisor.ownership.presence import RETURNS, presence
from runner.supervisor.state import RunState
from runner.supervisor.tried import AttemptState
from runner.supervisor.verified import CheckResult

SCRATCH = "together"
"""The directory of a run in which it is done. A kill leaves it there, and `corral reap` takes it away."""

Asked = tuple[str, tuple[str, ...], tuple[str, ...]]
Say = Callable[[str], None]
"""Told, in a few words, what is being done just now."""


@cache
def _matrices() -> TypeAdapter[dict[str, Matrix]]:
    """Reads and writes what is remembered of how branches meet."""
    return TypeAdapter(dict[str, Matrix])


@dataclass(frozen=True)
class Together:
    """What came of one repository's branches, and how they meet.

    `event` is what is journaled of it; `is_new` whether its branch was made now.
    """

    event: e.Integrated
    matrix: Matrix
    is_new: bool = False


# -- how branches meet


def foresee(home: Path, state: RunState) -> dict[str, Matrix]:
    """How all accepted branches of a run meet, by repository; what was found out once is remembered.

    A repository that can't be asked is left out.
    """
    groups = [group for group in gathered(state) if len(group.accepted) > 1]
    if not groups:
        return {}
    lines = [f"{group.name} {_branches(group.accepted)}" for group in groups]
    key = hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]
    file = home / "runs" / state.name / f"conflicts-{key}.json"
    with suppress(OSError, ValidationError):
        return _matrices().validate_json(file.read_bytes())
    found: dict[str, Matrix] = {}
    for group in groups:
        with suppress(GitError), tempfile.TemporaryDirectory(prefix="corral-conflicts-") as folder:
            merging = prepare(Path(folder) / "git", Path(group.source.git_dir))
            found[group.name] = meet(merging, group.source.base, _branches(group.accepted)).matrix
    if len(found) == len(groups):
        _remember(file, found)
    return found


def _branches(accepted: Sequence[AttemptState]) -> list[Branch]:
    return [Branch(str(one.key), one.commit) for one in accepted if one.commit is not None]


def _remember(file: Path, found: dict[str, Matrix]) -> None:
    with suppress(OSError):
        for earlier in file.parent.glob("conflicts-*.json"):
            earlier.unlink(missing_ok=True)
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_suffix(".part")
        part.write_bytes(_matrices().dump_json(found))
        part.rename(file)


# -- putting together


def put_together(
    home: Path, state: RunState, verify: Verify | None, say: Say, *, dry: bool = False
) -> list[Together]:
    """Put the accepted branches of a run together, by repository, and journal what came of it.

    Args:
        home: The state directory.
        state: The run, on which nobody works.
        verify: Runs checks on a commit in the quarantine, which itself holds all that the commit adds to its
            base (`Merging.make_whole`); None to look only at whether branches merge.
        say: Told what is being done.
        dry: Whether only to say what would go in: no check is run, and nothing is written.

    Raises:
        UsageError: Somebody works on the run, or nothing was accepted.
        OwnedError: Somebody has just begun to work on it.
        GitError: Git failed.
        HostError: The checks could not be run, or the journal not be written.
    """
    groups = gathered(state, cheats(state))
    if not any(group.accepted for group in groups):
        cure = f"`corral report {state.name}` shows what came of each attempt and its branch"
        raise UsageError(f"no attempt of the run {state.name} has an accepted branch", cure=cure)
    if dry:
        with tempfile.TemporaryDirectory(prefix="corral-together-") as folder:
            return [
                _Work(state, group, None, say, Path(folder) / f"{number}").through(dry=True)
                for number, group in enumerate(groups)
            ]
    _require_rest(home, state)
    done = []
    with Journal(home / "journal.db") as journal, owned(journal, home, state.name) as lease:
        for number, group in enumerate(groups):
            with _place(home, state.name, number) as place:
                one = _Work(state, group, verify, say, place).through(lease.holds)
            before = state.integrated.get(one.event.repo)
            if before is None or _outcome(before) != _outcome(one.event):
                journal.append(state.name, one.event, lease.token)
            done.append(one)
    return done


def _outcome(event: e.Integrated) -> e.Integrated:
    """What came of it, without when that was and how long it took."""
    checks = tuple(one.model_copy(update={"seconds": None, "runs": 1}) for one in event.checks)
    return event.model_copy(update={"at": 0.0, "seconds": None, "check_runs": 0, "checks": checks})


def _require_rest(home: Path, state: RunState) -> None:
    there = presence(home, state.name)
    if there == "nobody":
        return
    why = "is being worked on" if there == "works" else f"is not over: {RETURNS}"
    cure = f"`corral wait {state.name}` waits for its end, `corral stop {state.name}` ends it"
    raise UsageError(f"the run {state.name} {why}", cure=cure)


@contextmanager
def _place(home: Path, run: str, number: int) -> Iterator[Path]:
    """A place for a quarantine, which is the lease's holder's alone, and empty."""
    folder = home / "runs" / run / SCRATCH
    shutil.rmtree(folder, ignore_errors=True)  # of one that was killed
    folder.mkdir(parents=True)
    try:
        yield folder / f"{number}.git"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@dataclass
class _Work:
    """One repository's branches being put together."""

    state: RunState
    group: Gathered
    verify: Verify | None
    say: Say
    place: Path
    checked: dict[Asked, tuple[CheckResult, ...]] = field(default_factory=dict)
    put: dict[tuple[str, str], Tip | Clash] = field(default_factory=dict)
    whole: list[str] = field(default_factory=list)
    """The commits all of which the quarantine itself holds."""
    proved_nothing: dict[str, str] = field(default_factory=dict)
    """By the branch that came last, what checks said of it that ended well and did not pass for that."""
    merging: Merging = field(init=False)
    when: int = 0
    chosen: set[str] = field(default_factory=set)
    """Those whose own checks are not asked, since a person chose them in spite of these."""

    def through(self, holds: Callable[[], bool] = lambda: True, *, dry: bool = False) -> Together:
        began = time.monotonic()
        source, git_dir = self.group.source, Path(self.group.source.git_dir)
        self.when = int(max((one.finished or 0 for one in self.group.wanted), default=0))
        self.merging = prepare(self.place, git_dir)
        self.say(
            f"{self.group.name}: setting {len(self.group.accepted)} accepted branches against each other"
        )
        found = meet(self.merging, source.base, _branches(self.group.accepted))
        candidates, gone = self._candidates(found)
        commits = [one.commit for one in candidates]
        outcome = self._integrate(candidates)
        tip = outcome.tip
        branch, is_new = None, False
        if tip.commit != source.base and not dry:
            branch, is_new = self._bring_home(git_dir, tip.commit, commits, holds)
        event = e.Integrated(
            at=time.time(),
            repo=self.group.name,
            base=source.base,
            branch=branch,
            commit=tip.commit if tip.commit != source.base and not dry else None,
            joined=(
                *joined(outcome, found.matrix, self.chosen, self.proved_nothing),
                *gone,
                *passed_over(self.group),
            ),
            checks=self.checked.get(_asked(tip), ()),
            check_runs=len(self.checked),
            seconds=time.monotonic() - began,
        )
        return Together(event, found.matrix, is_new)

    def _candidates(self, found: Met) -> tuple[list[Candidate], list[e.Joined]]:
        """What is to go in, in its order; and what can't, since its commit is not there any more."""
        wanted, gone = [], []
        names_wanted = {str(one.key) for one in self.group.wanted}
        for one in self.group.wanted:
            name = str(one.key)
            if name not in found.trees or one.commit is None:
                why = "its commit is not in the repository any more"
                gone.append(e.Joined(attempt=name, went_in=False, why=why, cause="error"))
                continue
            wanted.append(
                Candidate(
                    name,
                    one.key.task,
                    one.commit,
                    self.state.plan.task(one.key.task).priority,
                    _size(one),
                    found.holds[name] & names_wanted,
                    tuple(self._asks(one, found.holds[name] & names_wanted)),
                )
            )
        conflicts = found.matrix.conflicts()
        return ordered(wanted, {name: len(conflicts[name] & names_wanted) for name in conflicts}), gone

    def _asks(self, one: AttemptState, holds: frozenset[str]) -> Iterator[str]:
        """The tasks whose checks are to pass where a branch is in.

        A check that it did not pass by itself, and that a person overruled, is not asked again.
        """
        there = [other for other in self.group.wanted if other is one or str(other.key) in holds]
        for other in there if self.verify is not None else ():
            if other.check == "passed":
                yield other.key.task
            elif other.check == "failed":
                self.chosen.add(str(other.key))

    def _integrate(self, candidates: Sequence[Candidate]) -> Outcome:
        base = self.group.source.base
        tree = Repository(self.merging.path, self.merging.borrowed).trees([base])
        if base not in tree:
            raise UsageError(
                f"{self.group.source.repo} has no longer the commit {base[:12]}, on which all of it builds",
                cure="bring the commit back: branches can't be put together without their base",
            )
        many = "1 branch" if len(candidates) == 1 else f"{len(candidates)} branches"
        self.say(f"{self.group.name}: putting {many} together")
        return integrate(Tip(base, tree[base]), candidates, self._put, self._passes)

    def _put(self, tip: Tip, one: Candidate) -> Tip | Clash:
        """As `integration.Put`; the same two are merged once."""
        members = (*tip.members, one)
        if any(one.attempt in other.holds for other in tip.members):
            return Tip(tip.commit, tip.tree, members)
        key = tip.commit, one.commit
        if key not in self.put:
            self.put[key] = self._merged(tip, one)
        made = self.put[key]
        return made if isinstance(made, Clash) else Tip(made.commit, made.tree, members)

    def _merged(self, tip: Tip, one: Candidate) -> Tip | Clash:
        merge = self.merging.merge(tip.commit, one.commit)
        if merge.tree is None:
            return Clash(shown(merge.files), merge.why)
        if merge.tree == tip.tree:
            return tip
        message = f"Merge {one.attempt}\n\nPut together by Corral, from the run {self.state.name}.\n"
        commit = self.merging.write_commit(merge.tree, (tip.commit, one.commit), self.when, message)
        return Tip(commit, merge.tree)

    def _passes(self, tip: Tip) -> bool:
        """As `integration.Passes`: what was said of the same files and tasks is said again."""
        key = _asked(tip)
        _, tasks, held = key
        if self.verify is None or not tasks:
            return True
        if key not in self.checked:
            many = f"{len(tip.members)} branch{'es' if len(tip.members) > 1 else ''}"
            self.say(f"{self.group.name}: check run {len(self.checked) + 1}, {many} together")
            self.merging.make_whole(self.group.source.base, tip.commit, self.whole)
            self.whole.append(tip.commit)
            self.checked[key] = self.verify(self.merging.path, tip.commit, tasks, held)
        results = self.checked[key]
        for result in results:
            if result.check == "not-run":
                cure = "`corral integrate` begins anew"
                raise HostError(f"the check {result.name!a} could not be run: {result.reason!a}", cure=cure)
        for result in results:
            if result.check == "failed" and result.exit_code == 0:
                self.proved_nothing[tip.members[-1].attempt] = f"{result.name}: {result.reason}"
        return all(result.check != "failed" for result in results)

    # -- what came of it

    def _bring_home(
        self, git_dir: Path, commit: str, known: Sequence[str], holds: Callable[[], bool]
    ) -> tuple[str, bool]:
        """The branch that is at this commit; whether it was made now."""
        for number in count(1):
            name = names.integration(self.state.name, number, self.state.plan.branch_prefix)
            there = worktree.branch_commit(git_dir, name)
            if there == commit:
                return name, False
            if there is None:
                break
        if not holds():
            raise HostError(f"another process took the run {self.state.name} over", cure="corral status")
        merging, base = self.merging, self.group.source.base
        # Of new files there are only those that were merged line by line: small ones.
        worktree.import_commits(git_dir, merging.path, merging.borrowed, commit, base, 0, tuple(known))
        worktree.create_branch(git_dir, name, commit)
        return name, True


def _asked(tip: Tip) -> Asked:
    """What a tip's checks are asked of: its files, the tasks that ask, and all whose work is in it."""
    names = (name for one in tip.members for name in (one.attempt, *sorted(one.holds)))
    return tip.tree, tip.tasks(), tuple(dict.fromkeys(AttemptKey.parse(name).task for name in names))


def _size(attempt: AttemptState) -> int | None:
    if attempt.insertions is None or attempt.deletions is None:
        return None
    return attempt.insertions + attempt.deletions
