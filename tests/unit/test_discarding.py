"""Discarding a branch: nothing that exists nowhere else goes before it is safe."""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from runner.errors import CorralError
from runner.git import closed, discarding
from runner.names import AttemptKey
from runner.supervisor import events as e
from runner.supervisor.discarding import bundle_file
from runner.supervisor.graph import deciding, retrying
from runner.supervisor.journal import Journal
from runner.supervisor.morning import chosen
from runner.supervisor.ownership import orders
from runner.supervisor.ownership.lease import owned
from runner.supervisor.state import RunState, fold
from runner.tasks.plan import PlannedAttempt
from tests.support import git, host_git_hashes, make_repo
from tests.unit.makers import life, make_plan
from tests.unit.test_cli import call as called

FIX = PlannedAttempt(task="fix", profile="p")
NEXT = PlannedAttempt(task="next", profile="p", after=(("fix/p/1",),), start=("fix/p/1",))
BRANCH = "corral/r/fix/p/1"


@dataclass(frozen=True)
class Done:
    """What a command did: `output` holds its error, if there is one."""

    exit_code: int
    output: str


def call(home: Path, *arguments: str) -> Done:
    """The command in this process, with its own errors told as `main` tells them."""
    done = called(home, *arguments)
    if isinstance(done.exception, CorralError):
        return Done(done.exception.exit_code, str(done.exception))
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return Done(done.exit_code, done.output)


class Night:
    """A run that ended, over a real repository, with a branch for each attempt."""

    def __init__(self, place: Path) -> None:
        self.home, self.repo = place / "home", make_repo(place / "a repo", {"a.txt": "one\n"})
        self.base = git(self.repo, "rev-parse", "HEAD")
        self.commits: dict[str, str] = {}

    def begin(self, *attempts: PlannedAttempt) -> None:
        plan = make_plan(*attempts)
        source = plan.sources[0].model_copy(
            update={"repo": str(self.repo), "git_dir": str(self.repo / ".git"), "base": self.base}
        )
        plan = plan.model_copy(update={"sources": (source,)})
        self.note(e.RunStarted(at=1, plan=plan, jobs=2))

    def note(self, *events: e.Event) -> None:
        with Journal(self.home / "journal.db") as book:
            for event in events:
                book.append("r", event)

    def attempt(self, key: str, verdict: str = "accepted", *, on: str | None = None) -> str:
        """An attempt that came home: two commits on a branch of its name."""
        branch, base = f"corral/r/{key}", on or self.base
        git(self.repo, "switch", "-q", "--create", "making", base)
        for number in (1, 2):
            (self.repo / "b.txt").write_text(f"{key} {number}\n" * 2000)
            git(self.repo, "add", "--all")
            git(self.repo, "commit", "-qm", f"{key} {number}")
        commit = git(self.repo, "rev-parse", "HEAD")
        git(self.repo, "switch", "-q", "main")
        git(self.repo, "branch", "-qm", "making", branch)
        for event in life(key, verdict, commit=commit, base=base):
            named = isinstance(event, e.AttemptGathered)
            self.note(event.model_copy(update={"branch": branch}) if named else event)
        self.commits[key] = commit
        return commit

    def end(self) -> None:
        self.note(e.RunEnded(at=9, exit_code=0))

    @property
    def state(self) -> RunState:
        with Journal(self.home / "journal.db") as book:
            return fold((row.run, row.event) for row in book.events("r"))

    def branches(self) -> list[str]:
        return git(self.repo, "branch", "--list", "--format=%(refname:short)").split()

    def forget(self) -> None:
        """What `git gc` does in the end: only what a branch or a tag holds stays."""
        git(self.repo, "reflog", "expire", "--expire=now", "--all")
        git(self.repo, "gc", "-q", "--prune=now")


@pytest.fixture
def night(tmp_path: Path) -> Iterator[Night]:
    made = Night(tmp_path)
    yield made
    git(made.repo, "fsck", "--strict")


def one(night: Night) -> str:
    night.begin(FIX)
    commit = night.attempt("fix/p/1")
    night.end()
    return commit


def has(night: Night, commit: str) -> bool:
    return discarding.has_commit(night.repo / ".git", commit)


def test_what_exists_nowhere_else_is_put_aside_and_comes_back(night: Night) -> None:
    commit = one(night)
    before = host_git_hashes(night.repo / ".git")
    done = call(night.home, "discard", "fix")
    assert done.exit_code == 0, done.output
    bundle = bundle_file(night.home, "r", AttemptKey("fix", "p"))
    assert bundle == night.home / "kept" / "r+fix+p+1.bundle"
    assert f"its commits are in {bundle}" in done.output
    assert night.branches() == ["main"]
    assert [path.name for path in bundle.parent.iterdir()] == [bundle.name], "nothing half is left"
    after = host_git_hashes(night.repo / ".git")
    assert {name for name in before if before[name] != after.get(name)} <= {
        f"refs/heads/{BRANCH}",
        f"logs/refs/heads/{BRANCH}",
    }

    night.forget()
    assert not has(night, commit)
    taken = call(night.home, "take", "fix", "mine")
    assert taken.exit_code == 2
    (command,) = [line for line in taken.output.splitlines() if "fetch" in line]
    typed = shlex.split(command.split("`")[1].replace("NAME", "mine"))
    subprocess.run(typed, check=True, capture_output=True)
    assert git(night.repo, "rev-parse", "mine") == commit
    assert git(night.repo, "rev-list", "--count", "main..mine") == "2"


def test_every_view_says_that_it_is_gone(night: Night) -> None:
    one(night)
    call(night.home, "discard", "fix")
    for command in (["report"], ["report", "--markdown"], ["status"]):
        assert BRANCH not in call(night.home, *command).output
    shown = " ".join(call(night.home, "show", "fix").output.split())
    assert "discarded; its commits are in" in shown
    (row,) = json.loads(call(night.home, "report", "--json").output)["attempts"]
    assert (row["branch"], row["verdict"]) == (None, "accepted")
    assert row["discarded"]["bundle"].endswith("r+fix+p+1.bundle")
    for again in (["discard", "fix"], ["diff", "fix"]):
        done = call(night.home, *again)
        assert (done.exit_code, "fix/p/1 was discarded" in done.output) == (2, True)
    assert deciding.obey(night.state, orders.Decide(task="fix", what="use", attempt="fix/p/1"), 1) == (
        "fix/p/1 has no branch to go on from"
    )
    assert not retrying.can_go_on(night.state.attempts[AttemptKey("fix", "p")])


def test_what_was_taken_needs_no_bundle(night: Night) -> None:
    commit = one(night)
    call(night.home, "take", "fix", "mine")
    done = json.loads(call(night.home, "discard", "fix", "--json").output)
    assert done == {
        "run": "r", "attempt": "fix/p/1", "branch": BRANCH, "commit": commit, "repo": str(night.repo),
        "bundle": None, "elsewhere": ["mine"],
    }  # fmt: skip
    assert not (night.home / "kept").exists()
    assert "is in mine" in call(night.home, "take", "fix", "x").output


@pytest.mark.parametrize("held", ["", "~1"], ids=["all", "a-part"])
def test_what_a_remote_had_is_no_place_for_it(night: Night, held: str) -> None:
    commit = one(night)
    git(night.repo, "update-ref", "refs/remotes/origin/pushed", f"{commit}{held}")
    call(night.home, "discard", "fix")
    bundle = bundle_file(night.home, "r", AttemptKey("fix", "p"))
    git(night.repo, "update-ref", "-d", "refs/remotes/origin/pushed")  # as `git fetch --prune` does
    night.forget()
    assert not has(night, commit)
    git(night.repo, "fetch", "-q", str(bundle), f"{BRANCH}:mine")
    assert git(night.repo, "rev-parse", "mine") == commit


def test_another_attempt_that_began_from_it_does_not_count_as_the_users(night: Night) -> None:
    """Else both could go, one after the other, and what the first one made with them."""
    night.begin(FIX, NEXT)
    commit = night.attempt("fix/p/1")
    night.attempt("next/p/1", on=commit)
    night.end()
    assert call(night.home, "discard", "fix").exit_code == 0
    assert call(night.home, "discard", "next").exit_code == 0
    night.forget()
    assert not has(night, commit)
    git(night.repo, "fetch", "-q", str(night.home / "kept/r+next+p+1.bundle"), "corral/r/next/p/1:later")
    assert git(night.repo, "rev-list", "--count", "main..later") == "4", "it holds the commits of both"


def test_a_base_that_no_branch_holds_any_more_is_put_aside_too(night: Night) -> None:
    commit = one(night)
    git(night.repo, "commit", "-q", "--amend", "-m", "another first one")
    assert call(night.home, "discard", "fix").exit_code == 0
    night.forget()
    assert not has(night, night.base)
    git(night.repo, "fetch", "-q", str(night.home / "kept/r+fix+p+1.bundle"), f"{BRANCH}:mine")
    assert git(night.repo, "rev-parse", "mine") == commit


def test_a_branch_that_was_changed_or_is_checked_out_is_left(night: Night) -> None:
    one(night)
    git(night.repo, "switch", "-q", BRANCH)
    done = call(night.home, "discard", "fix")
    assert (done.exit_code, "is checked out in" in done.output) == (2, True)
    git(night.repo, "commit", "-q", "--allow-empty", "-m", "mine")
    git(night.repo, "switch", "-q", "main")
    done = call(night.home, "discard", "fix")
    assert (done.exit_code, "it is yours" in done.output) == (2, True)
    assert BRANCH in night.branches()


def test_a_branch_that_is_gone_already_is_put_aside_all_the_same_and_noted(night: Night) -> None:
    """As after a kill between the branch and the journal, or after `git branch -D`."""
    one(night)
    git(night.repo, "branch", "-qD", BRANCH)
    assert call(night.home, "discard", "fix").exit_code == 0
    assert bundle_file(night.home, "r", AttemptKey("fix", "p")).exists()
    assert night.state.attempts[AttemptKey("fix", "p")].branch is None


def test_of_commits_that_are_gone_for_good_that_is_said(night: Night) -> None:
    one(night)
    git(night.repo, "branch", "-qD", BRANCH)
    night.forget()
    assert "was not there any more" in call(night.home, "discard", "fix").output
    assert "was not there any more" in call(night.home, "take", "fix", "x").output


def test_nothing_is_taken_from_a_run_that_somebody_works_on(night: Night) -> None:
    one(night)
    with Journal(night.home / "journal.db") as book, owned(book, night.home, "r"):
        done = call(night.home, "discard", "fix")
    assert (done.exit_code, "is being worked on" in done.output) == (2, True)
    assert call(night.home, "discard", "fix").exit_code == 0


def test_nor_what_is_still_needed_or_not_over(night: Night) -> None:
    night.begin(FIX, NEXT, PlannedAttempt(task="other", profile="p"))
    night.attempt("fix/p/1")
    done = call(night.home, "discard", "fix")
    assert (done.exit_code, "next/p/1 needs fix/p/1 and is still to be done" in done.output) == (2, True)
    done = call(night.home, "discard", "other")
    assert (done.exit_code, "has not ended" in done.output) == (2, True)
    assert BRANCH in night.branches()


def test_what_is_held_for_want_of_it_needs_nothing_of_it(night: Night) -> None:
    night.begin(FIX, NEXT)
    night.attempt("fix/p/1", "rejected")
    night.end()
    assert call(night.home, "discard", "fix").exit_code == 0


def test_an_attempt_without_a_branch_has_none_to_discard(night: Night) -> None:
    night.begin(FIX)
    events = life("fix/p/1", "no-change")
    night.note(*(one.model_copy(update={"kept": "/k/x.tar.gz"}) if one.kind == "attempt.gathered" else one
                 for one in events))  # fmt: skip
    night.end()
    done = call(night.home, "discard", "fix")
    assert (done.exit_code, "its files are in /k/x.tar.gz, and stay there" in done.output) == (2, True)


def test_where_it_can_not_be_put_aside_the_branch_stays(
    night: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    one(night)
    (night.home / "kept").write_text("in the way\n")
    done = call(night.home, "discard", "fix")
    assert (done.exit_code, "can't be put aside" in done.output) == (3, True)
    assert BRANCH in night.branches()
    (night.home / "kept").unlink()

    def half(*_: object) -> None:
        raise closed.GitError("pack-objects", 1, "no")

    monkeypatch.setattr(discarding, "write_lasting_bundle", half)
    assert call(night.home, "discard", "fix").exit_code == 3
    assert BRANCH in night.branches()
    assert night.state.attempts[AttemptKey("fix", "p")].branch == BRANCH


def test_a_bundle_that_does_not_give_the_commit_back_is_none(night: Night, tmp_path: Path) -> None:
    commit = one(night)
    git_dir, file = night.repo / ".git", tmp_path / "x.bundle"
    discarding.put_aside(git_dir, file, BRANCH, commit, "corral")
    raw = file.read_bytes()
    file.write_bytes(raw[:-100] + bytes(80) + raw[-20:])
    with pytest.raises(closed.GitError):
        discarding._require_good(git_dir, file, BRANCH, commit)


def test_what_was_discarded_is_not_put_together(night: Night) -> None:
    one(night)
    (accepted,) = night.state.attempts.values()
    assert chosen.is_accepted(night.state, accepted)
    call(night.home, "discard", "fix")
    (accepted,) = night.state.attempts.values()
    assert not chosen.is_accepted(night.state, accepted)


REPAIR = PlannedAttempt(task="repair", profile="p", start=("fix/p/1",), settled=("fix/p/1",))
LAST = PlannedAttempt(task="last", profile="p", after=(("repair/p/1",),), start=("repair/p/1",))


def refused(night: Night, who: str) -> bool:
    done = call(night.home, "discard", "fix/p/1.1")
    return done.exit_code == 2 and f"{who} needs fix/p/1 and is still to be done" in done.output


def begin_asking(night: Night, expression: str, *more: PlannedAttempt) -> None:
    """A task, and one that asks about it."""
    night.begin(FIX, REPAIR, *more)
    with Journal(night.home / "journal.db") as book:
        (row,) = book.events("r")
    assert isinstance(row.event, e.RunStarted)
    plan = row.event.plan
    asking = tuple(
        task.model_copy(update={"when": expression}) if task.id == "repair" else task for task in plan.tasks
    )
    (night.home / "journal.db").unlink()
    night.note(e.RunStarted(at=1, plan=plan.model_copy(update={"tasks": asking}), jobs=2))


@pytest.mark.parametrize("image", [True, False], ids=["ready", "no image"])
def test_work_that_was_rejected_is_needed_where_somebody_goes_on_from_it(night: Night, image: bool) -> None:
    begin_asking(night, "fix.verdict == 'rejected'")
    night.attempt("fix/p/1", "rejected")
    if image:
        night.note(e.ImageReady(at=1, source=0, cli=None, image="sha256:1"))
    night.note(e.Draining(at=8))
    night.end()
    assert refused(night, "repair/p/1")
    assert BRANCH in night.branches()


def test_so_is_work_on_which_a_way_not_taken_leads_on(night: Night) -> None:
    begin_asking(night, "fix.verdict == 'rejected'", LAST)
    commit = night.attempt("fix/p/1")
    night.end()
    assert refused(night, "repair/p/1"), "to be skipped, for whoever follows"
    night.note(e.AttemptSkipped(at=8, attempt="repair/p/1", reason="x", base=commit, passes=True))
    assert refused(night, "last/p/1")


def test_so_is_work_that_a_later_try_goes_on_from_or_began_from(night: Night) -> None:
    night.begin(FIX)
    commit = night.attempt("fix/p/1", "rejected")
    night.note(e.AttemptRetried(at=8, attempt="fix/p/1", why="feedback", base=night.base, on=commit))
    night.end()
    assert refused(night, "fix/p/1.2")
    night.note(e.AttemptStarted(at=8, attempt="fix/p/1.2", box="1" * 12, base=night.base))
    assert refused(night, "fix/p/1.2")


def test_what_did_not_serve_is_not_needed_where_another_profile_did(night: Night) -> None:
    other = PlannedAttempt(task="fix", profile="q")
    either = ("fix/p/1", "fix/q/1")
    night.begin(FIX, other, NEXT.model_copy(update={"after": (either,), "start": either}))
    night.attempt("fix/p/1", "rejected")
    night.attempt("fix/q/1")
    night.note(e.Draining(at=8))
    night.end()
    assert call(night.home, "discard", "fix/p/1").exit_code == 0


def test_a_kill_before_it_was_noted_loses_no_bundle(night: Night) -> None:
    """The commits are in it alone then."""
    commit = one(night)
    bundle = bundle_file(night.home, "r", AttemptKey("fix", "p"))
    discarding.put_aside(night.repo / ".git", bundle, BRANCH, commit, "corral")
    git(night.repo, "branch", "-qD", BRANCH)
    night.forget()
    assert not has(night, commit)
    assert f"its commits are in {bundle}" in call(night.home, "discard", "fix").output
    assert "fetch" in call(night.home, "take", "fix", "mine").output
