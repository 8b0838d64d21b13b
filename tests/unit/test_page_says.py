"""What reports say: nothing that another part contradicts, nothing twice, nothing that is left out of one."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from html import unescape

import pytest
from rich.console import Console

from runner.compare.audit import Audit, Finding
from runner.supervisor import events as e
from runner.supervisor.state import RunState
from runner.tasks.plan import PlannedAttempt
from runner.views import junit, live, pull_request, report
from runner.views.page import lives
from runner.views.page.material import Material, Shown, Span
from runner.views.page.page import page
from tests.unit.makers import after, life, make_plan, started

A, B = PlannedAttempt(task="fix", profile="good"), PlannedAttempt(task="fix", profile="bad")


def ended(one: str, other: str, *more: e.Event) -> RunState:
    """A run of two attempts with these verdicts."""
    lived = (*life("fix/good/1", one), *life("fix/bad/1", other))
    return after(started(make_plan(A, B)), *lived, *more, e.RunEnded(at=9, exit_code=0))


def material(state: RunState, audit: Audit | None = None, took: float | None = None) -> Material:
    shown = tuple(Shown(one, (Span("working", 3, 4),)) for one in state.as_written)
    return Material(state, now=10, attempts=shown, audit=audit, took=took)


def words(shown: Material) -> str:
    """The page's text."""
    return " ".join(unescape(re.sub(r"(?s)<style>.*</style>|<[^>]+>", " ", page(shown))).split())


def marks(shown: Material) -> dict[str, str]:
    """By attempt, its sign in the grid."""
    (grid,) = re.findall(r'<section id="tasks">.*?</section>', page(shown), re.DOTALL)
    return dict(re.findall(r'href="#([^"]+)"[^>]*><span aria-hidden="true">(.)</span>', grid))


def printed(what: object) -> str:
    console = Console(file=io.StringIO(), width=200, highlight=False, markup=False)
    console.print(what)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


USED = e.TaskDecided(at=8, task="fix", what="use", attempt="fix/bad/1")


def test_a_person_s_word_is_told_wherever_the_verdict_is() -> None:
    state = ended("rejected", "rejected", USED)
    used = state.attempts[B.key]
    assert words(material(state)).count("rejected, used") >= 3  # timeline, its table, grid, the attempt
    for text in (
        printed(report.terminal(state)),
        report.text_markdown(state),
        printed(live.draw(state, {}, "", 9)),
        pull_request.body(state, used),
        junit.text_xml(state),
    ):
        assert "rejected, used" in text


def test_the_grid_shows_what_is_scored() -> None:
    """A no-change is not accepted; what a person used is not either, nor what cheated."""
    assert marks(material(ended("no-change", "rejected", USED))) == {"fix/good/1": "✗", "fix/bad/1": "◆"}
    assert marks(material(ended("cancelled", "infrastructure"))) == {"fix/good/1": "–", "fix/bad/1": "!"}
    cheat = Audit((Finding("fix/bad/1", "exit-code-forged", "it did", "cheating"),))
    shown = material(ended("accepted", "accepted"), cheat)
    assert marks(shown) == {"fix/good/1": "✓", "fix/bad/1": "✗"}
    assert "accepted, cheated" in words(shown)


def test_unfair_attempts_are_no_nothing() -> None:
    unfair = Audit((Finding("fix/bad/1", "limits-differ", "it had more", "unfair"),))
    text = words(material(ended("accepted", "accepted"), unfair))
    assert "Nothing unfair was found" not in text
    assert "1 attempt had it easier or harder than others." in text


def joined(repo: str, *names: str) -> e.Integrated:
    ins = tuple(e.Joined(attempt=name, went_in=True) for name in names)
    return e.Integrated(
        at=9, repo=repo, base="a" * 40, branch="corral/r/+integration", commit="c" * 40, joined=ins
    )


def test_branches_of_several_repositories_are_several() -> None:
    state = after(ended("accepted", "rejected"), joined("/x/one", "fix/good/1"), joined("/x/two", "a/b/1"))
    text = words(material(state))
    assert "2 branches are put together: one branch in each of 2 repositories." in text
    assert re.search(r"/x/one On the branch corral/r/\+integration", text)
    assert re.search(r"/x/two On the branch corral/r/\+integration", text)
    state = after(ended("accepted", "accepted"), joined("/x", "fix/good/1", "fix/bad/1"))
    assert "2 branches go together, and are one branch already." in words(material(state))


def test_with_whom_a_branch_does_not_go_is_said_once() -> None:
    out = e.Joined(
        attempt="fix/bad/1",
        went_in=False,
        why="it does not merge with fix/good/1",
        cause="conflict",
        with_=("fix/good/1", "fix/other/1"),
        files=("a.py",),
    )
    event = e.Integrated(at=9, repo="/x", base="a" * 40, branch=None, commit=None, joined=(out,))
    state = after(ended("accepted", "accepted"), event)
    said = "fix/bad/1 it does not merge with fix/good/1 (a.py) with fix/other/1"
    assert said in words(material(state)).replace("( ", "(").replace(" )", ")")
    assert "`it does not merge with fix/good/1` `fix/other/1` `a.py`" in pull_request.body_of_all(
        state, event
    )


def test_only_the_time_in_which_somebody_worked_is_told() -> None:
    plan = make_plan(A)
    began, resumed = e.RunStarted(at=10, plan=plan, jobs=2), e.RunResumed(at=1000, jobs=1)
    end, more = e.RunEnded(at=30, exit_code=1), joined("/x")
    assert lives.took([began, end, more, resumed, e.RunEnded(at=1005, exit_code=0)], 9999) == 25
    assert lives.took([began, e.Draining(at=17), resumed], 1010) == 17  # killed, and still at it
    assert "It took 25 s." in words(material(ended("accepted", "accepted"), took=25))


def test_how_many_ran_at_once_is_what_ran_at_once() -> None:
    state = after(ended("accepted", "accepted"), e.JobsChanged(at=9, jobs=1, why="the load"))
    shown = tuple(
        Shown(replace(one, seconds=1.0), (Span("working", start, start + 1), Span("checking", start + 1, 9)))
        for start, one in enumerate(state.as_written)
    )
    text = words(replace(material(state), attempts=shown))
    assert "2 agents, at most 2 at once" in text
    assert "2 at once at most" in text
