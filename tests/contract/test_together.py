"""Accepted branches put together: a real repository, real merges, real checks in a checkout of their own."""

from __future__ import annotations

import io
import json
import os
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from rich.console import Console, RenderableType

from runner.commands.integrating import integrated
from runner.errors import HostError, UsageError
from runner.git import closed
from runner.git.base_store import BaseStore, base_store
from runner.names import AttemptKey
from runner.settings import Settings
from runner.supervisor import events as e
from runner.supervisor.journal import Journal
from runner.supervisor.morning import chosen
from runner.supervisor.morning.together import Together, foresee, put_together
from runner.supervisor.ownership.lease import owned
from runner.supervisor.state import RunState, fold
from runner.supervisor.verified import CheckResult
from runner.tasks.plan import PlannedAttempt
from runner.views import report, summary
from tests.support import git, host_git_hashes, make_repo
from tests.unit.makers import life, make_plan

BASE = {
    "limits.sh": "LIMIT=100\n",
    "shared.txt": "".join(f"line {number}\n" for number in range(9)),
    "README": "a program\n",
}

CHECKS = {f"t{number:02}": f"test -s part{number:02}.txt && . ./limits.sh" for number in range(12)}
CHECKS["t09"] = '. ./limits.sh && test "$LIMIT" -gt 50 && test -s part09.txt'
"""Passes on its own branch; not with what task 5 changes, which itself passes too."""

CHANGES: dict[str, dict[str, str]] = {
    name: {f"part{name[1:]}.txt": "done\n" * (1 + int(name[1:]))} for name in CHECKS
}
CHANGES["t05"]["limits.sh"] = "LIMIT=10\n"
CHANGES["t03"]["shared.txt"] = BASE["shared.txt"].replace("line 4", "three")
CHANGES["t07"]["shared.txt"] = BASE["shared.txt"].replace("line 4", "seven")
CHANGES["t08"]["shared.txt"] = BASE["shared.txt"].replace("line 8", "eight")


@dataclass
class Checker:
    """Runs tasks' checks as a supervisor would: on what the quarantine and the base store hold."""

    store: BaseStore
    checks: Mapping[str, str]
    runs: list[tuple[str, ...]] = field(default_factory=list)

    def __call__(
        self,
        git_dir: Path,
        commit: str,
        tasks: tuple[str, ...],
        held: tuple[str, ...],  # noqa: ARG002
    ) -> tuple[CheckResult, ...]:
        self.runs.append(tasks)
        unreadable = [file for file in (git_dir, *git_dir.rglob("*")) if not file.stat().st_mode & 0o004]
        assert unreadable == [], "a box's user can read all of it"
        with tempfile.TemporaryDirectory() as folder:
            tree = closed.git(git_dir, "archive", commit, alternates=(self.store.objects,))
            with tarfile.open(fileobj=io.BytesIO(tree)) as archive:
                archive.extractall(folder, filter="data")
            return tuple(self._run(task, Path(folder)) for task in tasks)

    def _run(self, task: str, folder: Path) -> CheckResult:
        done = subprocess.run(["sh", "-c", self.checks[task]], cwd=folder, check=False)
        return CheckResult(name=task, check="failed" if done.returncode else "passed")


@dataclass
class Night:
    """A run that ended, in a state directory of its own."""

    home: Path
    repo: Path
    checker: Checker

    @property
    def state(self) -> RunState:
        with Journal(self.home / "journal.db") as book:
            return fold((row.run, row.event) for row in book.events("r"))

    def add(self, *events: e.Event) -> None:
        with Journal(self.home / "journal.db") as book:
            for event in events:
                book.append("r", event)

    def together(self, *, dry: bool = False) -> Together:
        (one,) = put_together(self.home, self.state, self.checker, lambda _: None, dry=dry)
        return one


def ended(tmp_path: Path, changes: Mapping[str, Mapping[str, str]], checks: Mapping[str, str]) -> Night:
    repo = make_repo(tmp_path / "repo", BASE)
    base = git(repo, "rev-parse", "HEAD")
    plan = make_plan(*(PlannedAttempt(task=name, profile="p") for name in changes))
    source = plan.sources[0].model_copy(
        update={"repo": str(repo), "git_dir": str(repo / ".git"), "base": base}
    )
    tasks = tuple(task.model_copy(update={"check": checks[task.id]}) for task in plan.tasks)
    plan = plan.model_copy(update={"sources": (source,), "tasks": tasks})
    store = base_store(tmp_path / "bases", repo / ".git", base)
    night = Night(tmp_path / "home", repo, Checker(store, checks))
    events: list[e.Event] = [e.RunStarted(at=1, plan=plan, jobs=2)]
    for number, (name, files) in enumerate(changes.items()):
        commit = _commit(tmp_path, repo, f"corral/r/{name}/p/1", files)
        for event in life(f"{name}/p/1", "accepted", commit=commit, base=base):
            if isinstance(event, e.AttemptGathered):
                lines = {"insertions": number, "deletions": 0, "branch": f"corral/r/{name}/p/1"}
                event = event.model_copy(update=lines)  # noqa: PLW2901 - the same event, with more in it
            events.append(event)
    night.add(*events, e.RunEnded(at=9, exit_code=0))
    return night


def _commit(tmp_path: Path, repo: Path, branch: str, files: Mapping[str, str]) -> str:
    """A branch of the user's repository, made in a clone, as an attempt's comes from elsewhere."""
    clone = tmp_path / "clone"
    if not clone.exists():
        git(tmp_path, "clone", "-q", str(repo), str(clone))
    git(clone, "checkout", "-q", "--detach", "origin/main")
    for name, text in files.items():
        (clone / name).write_text(text)
    git(clone, "add", "--all")
    git(clone, "commit", "-qm", f"work of {branch}")
    git(clone, "push", "-q", str(repo), f"HEAD:refs/heads/{branch}")
    return git(clone, "rev-parse", "HEAD")


@pytest.fixture
def night(tmp_path: Path) -> Night:
    return ended(tmp_path, CHANGES, CHECKS)


def left(one: Together) -> dict[str, e.Joined]:
    return {row.attempt.split("/")[0]: row for row in one.event.joined if not row.went_in}


def test_twelve_branches_two_of_which_conflict_and_two_fail_together(night: Night) -> None:
    (night.repo / "README").write_text("a change that is not committed\n")
    (night.repo / "untracked").write_text("mine\n")
    git(night.repo, "add", "untracked")
    before = host_git_hashes(night.repo)
    umask = os.umask(0o077)  # an unusual one: a check's box reads the quarantine all the same
    try:
        one = night.together()
    finally:
        os.umask(umask)
    assert host_git_hashes(night.repo) == before, "the user's checkout, refs, index and configuration"

    out = left(one)
    assert set(out) == {"t07", "t09"}
    assert (out["t07"].cause, out["t07"].with_, out["t07"].files) == (
        "conflict",
        ("t03/p/1",),
        ("shared.txt",),
    )
    assert (out["t09"].cause, out["t09"].with_) == ("check", ("t05/p/1",))
    assert out["t09"].why == "the checks fail on it and t05/p/1 together"
    assert one.event.branch == "corral/r/+integration"
    assert {result.check for result in one.event.checks} == {"passed"}
    assert len(one.event.checks) == 10
    assert one.event.check_runs == len(night.checker.runs) <= 12

    names = set(git(night.repo, "ls-tree", "--name-only", "corral/r/+integration").split())
    assert names == {*BASE, *(f"part{n:02}.txt" for n in range(12) if n not in (7, 9))}
    assert "three" in git(night.repo, "show", "corral/r/+integration:shared.txt")
    assert "eight" in git(night.repo, "show", "corral/r/+integration:shared.txt")
    log = git(night.repo, "log", "--first-parent", "--format=%s|%an|%cn|%at", "corral/r/+integration")
    rows = log.splitlines()
    assert rows[0] == "Merge t11/p/1|Corral|Corral|7"
    assert len(rows) == 11
    assert git(night.repo, "fsck", "--strict", "--no-dangling") == ""
    assert night.state.integrated[str(night.repo)] == one.event, "it is journaled"
    assert not (night.home / "runs" / "r" / "together").exists()


def test_the_matrix_of_the_night(night: Night) -> None:
    found = foresee(night.home, night.state)
    assert found == {str(night.repo): night.together(dry=True).matrix}
    pairs = {(one.a[:3], one.b[:3]): one.kind for one in found[str(night.repo)].meetings}
    assert pairs == {("t03", "t07"): "conflict", ("t03", "t08"): "clean", ("t07", "t08"): "clean"}
    (kept,) = (night.home / "runs" / "r").glob("conflicts-*.json")
    kept.write_text(kept.read_text().replace('"conflict"', '"clean"'))
    assert foresee(night.home, night.state) != found, "what was found out once is remembered"
    kept.write_text("{")
    assert foresee(night.home, night.state) == found, "unless it can't be read"


def test_again_comes_to_the_same_and_otherwise_to_a_further_branch(night: Night) -> None:
    first = night.together()
    before = git(night.repo, "for-each-ref"), git(night.repo, "count-objects", "-v")
    again = night.together()
    assert (again.event.branch, again.event.commit) == (first.event.branch, first.event.commit)
    assert (first.is_new, again.is_new) == (True, False)
    assert put_together_before(night) == [first.event], "what came out the same is not noted anew"
    assert (git(night.repo, "for-each-ref"), git(night.repo, "count-objects", "-v")) == before
    clone = night.home.parent
    more = _commit(clone, night.repo, "corral/r/t09/p/1.2", {"part09.txt": "done\n"})
    retried = e.AttemptRetried(at=10, attempt="t09/p/1", why="person")
    night.add(retried, *life("t09/p/1.2", "accepted", commit=more, base=git(night.repo, "rev-parse", "main")))
    night.checker.checks = {**CHECKS, "t09": "test -s part09.txt"}
    later = night.together()
    assert later.event.branch == "corral/r/+integration.2"
    assert put_together_before(night) == [first.event, later.event]
    assert git(night.repo, "rev-parse", "corral/r/+integration") == first.event.commit


def put_together_before(night: Night) -> list[e.Event]:
    with Journal(night.home / "journal.db") as book:
        return list(book.of_kinds("r", "run.integrated"))


def discarded(task: str) -> e.Event:
    name = f"{task}/p/1"
    return e.AttemptDiscarded(at=10, attempt=name, branch=f"corral/r/{name}", commit="c" * 40)


def test_what_was_discarded_is_named_and_what_was_put_together_before_is_out_of_date(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    night = ended(tmp_path, {name: CHANGES[name] for name in ("t00", "t01")}, CHECKS)
    first = night.together()
    assert "out of date" not in report.text_markdown(night.state)
    night.add(discarded("t01"))
    old = "out of date: it would be put together without t01/p/1 now (corral integrate r)"
    assert f"`{old}`" in report.text_markdown(night.state)
    assert old in drawn(report.terminal(night.state))
    (row,) = json.loads(json.dumps(summary.summary(night.state)))["integrated"]
    assert row["outdated"] is True

    assert integrated(Settings(home=night.home), night.state, night.checker, dry=False, as_json=False) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "1 of 2 branches in" in said
    assert "left out t01/p/1 its branch was discarded" in said
    assert "out of date" not in report.text_markdown(night.state)
    assert first.event not in night.state.integrated.values()
    night.add(discarded("t00"))
    assert chosen.outdated(night.state) == {str(night.repo): chosen.Outdated((), ("t00/p/1",))}
    with pytest.raises(UsageError, match="no attempt of the run r has an accepted branch"):
        night.together()


def test_where_all_of_them_cheated_nothing_goes_in(tmp_path: Path) -> None:
    night = ended(tmp_path, {"t00": CHANGES["t00"]}, CHECKS)
    flags = ("check-steered: it passes only with its own conftest.py",)
    night.add(e.AttemptChecked(at=10, attempt="t00/p/1", check="passed", flags=flags))
    night.add(e.AttemptFinal(at=11, attempt="t00/p/1", verdict="accepted"))
    one = night.together()
    assert (one.event.branch, left(one)["t00"].cause) == (None, "cheating")


def test_a_dry_run_writes_nothing(night: Night) -> None:
    before = git(night.repo, "for-each-ref"), git(night.repo, "count-objects", "-v"), night.state
    one = night.together(dry=True)
    assert set(left(one)) == {"t07"}, "what merging tells"
    assert (one.event.branch, one.event.checks, night.checker.runs) == (None, (), [])
    assert (git(night.repo, "for-each-ref"), git(night.repo, "count-objects", "-v"), night.state) == before


def test_a_run_that_somebody_works_on_is_left_alone(night: Night) -> None:
    with (
        Journal(night.home / "journal.db") as book,
        owned(book, night.home, "r"),
        pytest.raises(UsageError, match="the run r is being worked on") as refused,
    ):
        night.together()
    assert "corral wait r" in str(refused.value)
    assert "+integration" not in git(night.repo, "for-each-ref")


def test_checks_that_cannot_be_run_make_no_branch(night: Night) -> None:
    def stopped(
        _git_dir: Path, _commit: str, tasks: tuple[str, ...], _held: tuple[str, ...]
    ) -> tuple[CheckResult, ...]:
        return (CheckResult(name=tasks[0], check="not-run", reason="the engine went away"),)

    with pytest.raises(HostError, match="the engine went away"):
        put_together(night.home, night.state, stopped, lambda _: None)
    assert "+integration" not in git(night.repo, "for-each-ref")
    assert night.state.integrated == {}


def test_an_overruled_check_is_not_asked_again(tmp_path: Path) -> None:
    night = ended(tmp_path, {name: CHANGES[name] for name in ("t00", "t01")}, {**CHECKS, "t01": "false"})
    rejected = life("t01/p/1", "rejected", commit=night.state.attempts.tries(_key("t01"))[0].commit)
    night.add(*rejected, e.TaskDecided(at=10, task="t01", what="use", attempt="t01/p/1"))
    one = night.together()
    assert left(one) == {}
    assert night.checker.runs == [("t00",)]
    assert "a person chose it" in {row.attempt: row.why for row in one.event.joined}["t01/p/1"]


def _key(task: str) -> AttemptKey:
    return PlannedAttempt(task=task, profile="p").key


def test_nothing_accepted_is_said(tmp_path: Path) -> None:
    night = ended(tmp_path, {}, {})
    with pytest.raises(UsageError, match="no attempt of the run r has an accepted branch"):
        night.together()


# -- the command, and what people see


@pytest.fixture
def settings(night: Night) -> Settings:
    return Settings(home=night.home)


def drawn(shown: RenderableType) -> str:
    console = Console(file=io.StringIO(), width=120)
    console.print(shown)
    assert isinstance(console.file, io.StringIO)
    return " ".join(console.file.getvalue().split())


def test_the_command_says_what_went_in(
    night: Night, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    assert integrated(settings, night.state, night.checker, dry=False, as_json=False) == 1
    said = " ".join(capsys.readouterr().out.split())
    assert "10 of 12 branches in, on corral/r/+integration; checks on all of it: 10 passed" in said
    assert "left out t07/p/1 it does not merge with t03/p/1: shared.txt" in said
    assert "left out t09/p/1 the checks fail on it and t05/p/1 together" in said


def test_the_command_speaks_json(
    night: Night, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    assert integrated(settings, night.state, night.checker, dry=True, as_json=True) == 1
    told = json.loads(capsys.readouterr().out)
    (row,) = told["repositories"]
    assert (told["run"], told["dry_run"], row["branch"], row["new"]) == ("r", True, None, False)
    assert [one["attempt"] for one in row["joined"] if not one["went_in"]] == ["t07/p/1"]
    assert {one["kind"] for one in row["matrix"]["meetings"]} == {"clean", "conflict"}


def test_the_report_tells_of_it(night: Night) -> None:
    night.together()
    matrices = foresee(night.home, night.state)
    seen = drawn(report.terminal(night.state, matrices))
    text = report.text_markdown(night.state, matrices)
    assert (
        "conflicts branch and files t03/p/1 t07/p/1 shared.txt 2 other pairs that share files merge" in seen
    )
    assert "put together 10 of 12 branches in" in seen
    assert "| `t03/p/1` | `t07/p/1` | `shared.txt` |" in text
    assert "| left out | `t09/p/1` | `the checks fail on it and t05/p/1 together` |" in text
