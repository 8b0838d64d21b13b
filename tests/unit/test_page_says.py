"""What reports say: nothing that another part contradicts, nothing twice, nothing that is left out of one."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from runner.compare.audit import Audit, Finding
from runner.supervisor import events as e
from runner.supervisor.attempt.samples import Used
from runner.supervisor.state import RunState
from runner.supervisor.verified import CheckResult
from runner.tasks.plan import ClaudeSettings, PlannedAttempt
from runner.views import fairness, junit, live, measured, pull_request, report, tabular
from runner.views.page import activity, lives, prose
from runner.views.page.material import Material, Shown, Span, Step
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


def test_findings_of_a_kind_are_one_line_and_what_counts_comes_first() -> None:
    busy = [
        Finding(f"t{n}/good/1", "host-busy", f"{n // 3} tasks or more for each core of the host")
        for n in range(12)
    ]
    own = [Finding("fix/good/1", "host-busy", "7 tasks or more"), Finding("fix/bad/1", "forged", "it did")]
    found = Audit((*busy, *own, replace(own[1], weight="cheating"), replace(own[0], weight="unfair")))
    said = [*fairness.rows(found)]
    assert [weight for weight, _, _ in said] == ["cheating", "unfair", "note", "note"]
    assert said[2][2] == "13 attempts, such as t0/good/1: 0 tasks or more for each core of the host"
    text = words(material(ended("accepted", "accepted"), found))
    shown = text[text.index("Fair and honest?") : text.index("findings in detail")]
    assert shown.count("host-busy") == 2  # the one that is unfair, and the notes
    assert "and the like of 10 attempts" in shown
    assert shown.index(" cheating ") < shown.index(" unfair ") < shown.index(" to know ")


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
    old = after(ended("accepted", "rejected"), joined("/x", "fix/bad/1"))
    assert "out of date: it would be put together with fix/good/1 and without fix/bad/1" in words(
        material(old)
    )
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


# -- what was thrown away


@pytest.mark.parametrize("bundle", ["/home/ada/kept/r+fix.bundle", None])
def test_every_report_says_where_a_discarded_branch_is(bundle: str | None) -> None:
    gathered = e.AttemptGathered(
        at=5,
        attempt="fix/good/1",
        work="gathered",
        branch="corral/r/fix/good/1",
        commit="b" * 40,
        files=1,
        insertions=3,
        deletions=2,
    )
    gone = e.AttemptDiscarded(
        at=8,
        attempt="fix/good/1",
        branch="corral/r/fix/good/1",
        commit="b" * 40,
        bundle=bundle,
        elsewhere=("mine",),
    )
    state = ended("accepted", "rejected", gathered, gone)
    said = f"discarded; its commits are in {bundle or 'mine'}"
    shown = (
        words(material(state)),
        printed(report.terminal(state)),
        report.text_markdown(state),
        printed(report.attempt(state, state.attempts[A.key], Path("/x"))),
        junit.text_xml(state),
    )
    for text in shown:
        assert said in text
        assert "1 file +3 -2" in text
    assert said in tabular.text_csv(state)


# -- words


def test_an_answer_that_is_given_again_at_the_end_is_told_once() -> None:
    def said(text: str) -> bytes:
        block = {"type": "text", "text": text}
        return json.dumps({"type": "assistant", "message": {"content": [block]}}).encode()

    def result(text: str) -> bytes:
        told = {"type": "result", "subtype": "success", "num_turns": 2, "result": text}
        return json.dumps(told).encode()

    for answer in ("Done: `a`.", "x" * 3000):
        found = activity.steps(ClaudeSettings(model="m"), [said("First."), said(answer), result(answer)])
        assert [one.words.count(answer[:20]) for one in found][:1] == [0]
        assert len(found) == 2
        assert found[1].words.startswith("[success, 2 turns]")
    both = activity.steps(ClaudeSettings(model="m"), [said("First."), result("Another.")])
    assert [one.words for one in both] == ["First.", "[success, 2 turns] Another."]


def test_a_call_of_several_lines_is_one_call() -> None:
    def event(*blocks: dict[str, Any]) -> bytes:
        return json.dumps({"type": "assistant", "message": {"content": blocks}}).encode()

    script = "python - <<'END'\nfor n in range(3):\n    print(n)\nEND"
    ran: dict[str, Any] = {"type": "tool_use", "name": "Bash", "input": {"command": script}}
    told = {"type": "text", "text": "See:\n\n    x = 1\n\nand run it."}
    assert activity.steps(ClaudeSettings(model="m"), [event(told), event(ran)]) == (
        Step("said", "See: x = 1 and run it."),
        Step("did", "Bash: python - <<'END' for n in range(3): print(n) END"),
    )


def test_what_was_noticed_and_found_is_told_once() -> None:
    noticed = e.AttemptGathered.model_validate(
        {"at": 5, "attempt": "fix/bad/1", "work": "gathered", "commit": "b" * 40, "flags": ("it did",)}
    )
    state = ended("accepted", "rejected", noticed)
    found = Audit((Finding("fix/bad/1", "protected-touched", "it did"),))
    assert words(material(state, found)).count("it did") == 2  # in the table, and at the attempt
    assert words(material(state)).count("it did") == 1
    steered = noticed.model_copy(update={"reason": "it steers", "flags": ("odd: it steers",)})
    state = ended("accepted", "rejected", steered)
    assert printed(report.terminal(state)).count("it steers") == 1
    assert report.text_markdown(state).count("it steers") == 1


def test_code_in_a_prompt_is_shown_as_code() -> None:
    asked = "Mend `f(<x>)`:\n\n    >>> f(1)\n    2\n\nand\n```py\nx = `1`\n```\nor `not\n  - a `list`"
    assert prose.prose(asked).text == (
        "Mend <code>f(&lt;x&gt;)</code>:<pre>&gt;&gt;&gt; f(1)\n2</pre>and<pre>x = `1`</pre>"
        "or `not\n  - a <code>list</code>"
    )


@given(st.text(alphabet="` \nax\t<", max_size=80))
def test_nothing_of_a_prompt_is_lost(text: str) -> None:
    shown = unescape(re.sub("<[^>]+>", "", prose.prose(text).text))
    assert re.sub(r"[`\s]", "", re.sub(r"(?m)^\s*```.*$", "", text)) == re.sub(r"[`\s]", "", shown)


def test_what_was_not_measured_is_said_once() -> None:
    state = ended("accepted", "accepted")
    one, limits = state.attempts[A.key], state.limits(A.key)
    nothing = replace(one, used=Used())
    assert [*measured.told(nothing, limits, None)] == []
    said = printed(report.attempt(state, nothing, Path("/x")))
    assert said.count("what its boxes used is not known") == 1
    assert "?" not in said
    some = dict(measured.told(replace(one, used=Used(most_pids=4, io_waited=1.0)), limits, None))
    assert (some["processes"], some["waited for"]) == ("at most 4", "cpu ?, memory ?, io 1.0 s")
    assert some["disk"] == "at most ?", "one of them is unknown, and said to be"


def test_a_check_without_a_name_is_not_called_so_in_junit() -> None:
    checks = (CheckResult(name="check", check="passed"), CheckResult(name="types", check="passed"))
    checked = e.AttemptChecked(at=6, attempt="fix/good/1", check="passed", checks=checks)
    text = junit.text_xml(ended("accepted", "accepted", checked))
    assert "\ncheck passed" in text
    assert "\ncheck types passed" in text
