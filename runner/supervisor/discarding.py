"""Discarding an attempt's branch: nothing that exists nowhere else goes before it is put aside.

Whoever discards owns the run meanwhile, as a supervisor does, so that nobody takes it up and starts from what
is about to go. The order is: the bundle, the branch, the journal. A kill in between leaves the branch, or a
branch that is gone and not yet noted; discarding it once more puts that right.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from runner.errors import HostError, UsageError
from runner.git import closed, discarding, worktree
from runner.names import AttemptKey
from runner.names import branch as branch_of
from runner.supervisor import events as e
from runner.supervisor.finding import command, find_attempt
from runner.supervisor.graph import routing
from runner.supervisor.graph.schedule import Decision, decide
from runner.supervisor.journal import Journal
from runner.supervisor.ownership.lease import Lease, OwnedError, owned
from runner.supervisor.ownership.presence import presence
from runner.supervisor.state import RunState, apply, fold
from runner.supervisor.tried import AttemptState

NAMED = 5
"""Branches and tags of the user's that are named, of those that hold a commit."""


def discard(home: Path, run: str, text: str) -> tuple[AttemptState, e.AttemptDiscarded]:
    """Take away an attempt's branch.

    Args:
        home: The state directory.
        run: The run's name.
        text: The attempt, as a person writes it.

    Returns:
        The attempt as it was, and what became of its branch.

    Raises:
        UsageError: There is no such attempt or branch, something needs it, or somebody works on the run.
        HostError: What it holds can't be put aside.
    """
    with Journal(home / "journal.db") as book, _alone(book, home, run) as lease:
        state = fold((row.run, row.event) for row in book.events(run))
        attempt = find_attempt(state, text)
        branch, commit = _branch(state, attempt)
        _require_unneeded(state, attempt)
        source = state.plan.sources[state.plan.task(attempt.key.task).source]
        git_dir, prefix = Path(source.git_dir), state.plan.branch_prefix
        now = worktree.branch_commit(git_dir, branch)
        if now is not None:
            _require_as_it_was(git_dir, branch, now, commit)
        there = discarding.has_commit(git_dir, commit)
        elsewhere = discarding.holders(git_dir, commit, prefix) if there else ()
        bundle = bundle_file(home, run, attempt.key)
        if there and not elsewhere:
            discarding.put_aside(git_dir, bundle, branch, commit, prefix)
        kept = discarding.is_put_aside(git_dir, bundle, branch, commit)  # now, or before a kill
        if not lease.holds():
            raise OwnedError(f"another process took the run {run} over", cure=f"corral status {run}")
        if now is not None:
            _delete(git_dir, branch, commit)
        event = e.AttemptDiscarded(
            at=time.time(),
            attempt=str(attempt.key),
            branch=branch,
            commit=commit,
            bundle=str(bundle) if kept else None,
            elsewhere=tuple(ref.removeprefix("refs/").removeprefix("heads/") for ref in elsewhere[:NAMED]),
        )
        book.append(run, event, lease.token)
    return attempt, event


def bundle_file(home: Path, run: str, key: AttemptKey) -> Path:
    """Where the commits of a discarded attempt are put aside."""
    return home / "kept" / f"{run}+{str(key).replace('/', '+')}.bundle"


def gone(state: RunState, attempt: AttemptState) -> UsageError | None:
    """That an attempt's branch was discarded, and how to get it back; None where it was not."""
    if attempt.discarded is None:
        return None
    told = attempt.discarded
    if told.bundle is not None:
        cure = f"`{back(state, attempt, told.bundle)}` brings it back as the branch NAME"
    elif told.elsewhere:
        cure = f"its commit {told.commit[:12]} is in {', '.join(told.elsewhere)}"
    else:
        cure = f"its commit {told.commit[:12]} was not there any more"
    return UsageError(f"{attempt.key} was discarded", cure=cure)


def commit_of(state: RunState, attempt: AttemptState) -> str:
    """The commit that an attempt's work came home as.

    Raises:
        UsageError: None did, or its branch was discarded.
    """
    if (refusal := gone(state, attempt)) is not None:
        raise refusal
    if attempt.commit is None:
        cure = f"`{command(state, 'show', attempt.key)}` says why"
        raise UsageError(f"{attempt.key} has no branch", cure=cure)
    return attempt.commit


def back(state: RunState, attempt: AttemptState, bundle: str) -> str:
    """What a person types to have a discarded branch again."""
    source = state.plan.sources[state.plan.task(attempt.key.task).source]
    name = branch_of(state.name, attempt.key, state.plan.branch_prefix)
    return shlex.join(("git", "-C", source.repo, "fetch", bundle, f"{name}:NAME"))


@contextmanager
def _alone(book: Journal, home: Path, run: str) -> Iterator[Lease]:
    """Own a run on which nobody works, and nobody will by itself.

    Raises:
        UsageError: Somebody does.
    """
    cure = f"wait until it has ended (`corral wait {run}`), or end it (`corral stop {run}`)"
    refusal = UsageError(f"the run {run} is being worked on", cure=cure)
    if presence(home, run) != "nobody":
        raise refusal
    try:
        with owned(book, home, run) as lease:
            yield lease
    except OwnedError as error:
        raise refusal from error


def _branch(state: RunState, attempt: AttemptState) -> tuple[str, str]:
    """The branch of an attempt that has ended, and its commit."""
    if attempt.phase != "final":
        cure = f"`corral resume {state.name}` takes the run up, `corral reap` gives it up"
        raise UsageError(f"{attempt.key} has not ended", cure=cure)
    if (refusal := gone(state, attempt)) is not None:
        raise refusal
    if attempt.branch is None or attempt.commit is None:
        kept = f"its files are in {attempt.kept}, and stay there" if attempt.kept else ""
        cure = kept or f"`{command(state, 'show', attempt.key)}` says why"
        raise UsageError(f"{attempt.key} has no branch to discard", cure=cure)
    return attempt.branch, attempt.commit


def _require_unneeded(state: RunState, attempt: AttemptState) -> None:
    """See that nothing would begin from its work if the run were taken up now."""
    resumed = apply(state, e.RunResumed(at=time.time(), jobs=1))
    for one in decide(resumed, jobs=0):
        if attempt.commit in _needed_by(resumed, one):
            cure = f"`corral resume {state.name}` does it"
            raise UsageError(f"{one.key} needs {attempt.key} and is still to be done", cure=cure)


def _needed_by(state: RunState, one: Decision) -> set[str | None]:
    """The commits that an attempt may need which is not over: those it begins from, or is given."""
    if one.standing in {"final", "held"}:
        return set()
    known, planned = state.attempts[one.key], state.planned(one.key)
    own = {one.base, known.base, None if known.retry is None else known.retry.on}
    if one.base is not None or one.standing == "busy":
        passed = routing.results(state, planned) if state.plan.task(one.key.task).passes else ()
        return own.union(other.commit for other in passed)
    needs = {*planned.start, *planned.settled, *planned.previous}.union(*planned.after)
    for name in needs:  # some of them are open: then it may be any
        for other in state.tries(AttemptKey.parse(name)):
            counts = name in planned.settled or state.counts(other)
            own |= {other.base, other.commit if counts else None}
    return own


def _require_as_it_was(git_dir: Path, branch: str, now: str, commit: str) -> None:
    if now != commit:
        said = f"{branch} is at {now[:12]} by now, and not at {commit[:12]} as the attempt left it"
        raise UsageError(said, cure=f"it is yours: `git branch -D {branch}` deletes it")
    tree = discarding.checked_out_in(git_dir, branch)
    if tree is not None:
        raise UsageError(f"{branch} is checked out in {tree}", cure="switch to another branch there")


def _delete(git_dir: Path, branch: str, commit: str) -> None:
    try:
        discarding.delete_branch(git_dir, branch, commit)
    except closed.GitError as error:
        said = " ".join(error.stderr.split())[-200:]
        raise HostError(f"the branch {branch} can't be deleted: {said}", cure="nothing is lost") from error
