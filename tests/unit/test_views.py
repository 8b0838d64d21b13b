"""What people look at: nothing is cut wrongly on a narrow screen, and nothing is said twice."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from rich.text import Text

from runner.names import AttemptKey
from runner.supervisor import events as e
from runner.supervisor.forecast import Forecast
from runner.supervisor.state import RunState
from runner.tasks.plan import AllowedHost, PlannedAttempt, Upstream
from runner.views import live, plan_view, report, summary
from runner.views.fitting import Column, Fitting, chosen
from tests.unit.makers import after, life, make_plan, started

LONG = PlannedAttempt(task="xml-streaming-attrs", profile="steady")
OTHER = PlannedAttempt(task="b", profile="q")


def drawn(what: object, width: int) -> str:
    console = Console(file=io.StringIO(), width=width, highlight=False, markup=False)
    console.print(what)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def ended() -> RunState:
    events = life("xml-streaming-attrs/steady/1", "accepted")
    return after(started(make_plan(LONG, OTHER)), *events, e.Draining(at=8), e.RunEnded(at=9, exit_code=130))


@pytest.mark.parametrize("width", [60, 80, 120, 240])
def test_names_and_verdicts_are_whole_at_any_width(width: int) -> None:
    for text in (drawn(report.terminal(ended()), width), drawn(live.draw(ended(), {}, "", 10), width)):
        assert "xml-streaming-attrs/steady/1" in text
        assert "accepted" in text
        assert all(len(line) <= width for line in text.splitlines())


def test_long_doings_leave_the_other_columns_alone() -> None:
    state = after(started(make_plan(LONG)), *life("xml-streaming-attrs/steady/1", "accepted")[:2])
    signs = e.Signs(
        at=4,
        attempt="xml-streaming-attrs/steady/1",
        stage="running",
        doing="x" * 300,
        cpu=0.5,
        memory=1,
        tokens=7,
    )
    text = drawn(live.draw(state, {signs.attempt: signs}, "", 5), 80)
    assert "running" in text
    assert "xml-streaming-attrs/steady/1" in text
    assert "…" in text


def test_columns_go_by_importance_and_prose_shrinks_first() -> None:
    columns = (Column("name"), Column("rare", importance=1), Column("prose", importance=5, prose=True))
    assert chosen(columns, [10, 10, 90], 40) == [0, 1, 2]
    assert chosen(columns, [10, 10, 90], 25) == [0, 2]
    assert chosen(columns, [10, 10, 90], 12) == [0]
    rows = [(Text("n" * 10), Text("r" * 10), Text("p" * 90))]
    assert "n" * 10 in drawn(Fitting(columns, rows), 12)


def test_what_was_not_started_is_explained_and_can_be_resumed() -> None:
    state = ended()
    assert "stopped before it started" in drawn(report.terminal(state), 120)
    assert "corral resume r" in drawn(report.next_steps(state), 120)


def test_the_markdown_report_holds_every_attempt() -> None:
    text = report.text_markdown(ended())
    assert "| `xml-streaming-attrs/steady/1` | accepted |" in text
    assert "| `b/q/1` | held |" in text


def test_an_attempt_is_shown_in_words() -> None:
    state = ended()
    shown = drawn(report.attempt(state, next(iter(state.attempts.values())), Path("/log")), 100)
    assert "accepted" in shown
    assert "None" not in shown


def scripted(*profiles: str) -> RunState:
    """A run that has ended, in which a script played the model for these profiles."""
    state = ended()
    script = Upstream(kind="script", script="/t")
    made = tuple(
        p.model_copy(update={"upstream": script}) if p.name in profiles else p for p in state.plan.profiles
    )
    return replace(state, plan=state.plan.model_copy(update={"profiles": made}))


@pytest.mark.parametrize(
    ("profiles", "said"),
    [(("steady", "q"), "a script plays the model"), (("q",), "a script plays the model for q"), ((), None)],
)
def test_every_view_says_where_a_script_played_the_model(profiles: tuple[str, ...], said: str | None) -> None:
    state = scripted(*profiles)
    begun = e.RunStarted(at=1, plan=state.plan, jobs=2)
    views = [drawn(report.headline(state), 120), drawn(report.terminal(state), 120)]
    views += [drawn(live.draw(state, {}, "", 10), 120), drawn(live.sentence(begun, state), 120)]
    for view in views:
        assert (said or "a script plays") in view if said else "script" not in view
    assert ("tokens and cost come from" in report.text_markdown(state)) is bool(profiles)
    rows = {row["profile"]: row["scripted"] for row in rows_of(state)}
    assert rows == {name: name in profiles for name in ("steady", "q")}
    shown = drawn(report.attempt(state, state.attempts[AttemptKey.parse("b/q/1")], Path("/log")), 200)
    assert ("tokens and cost come from" in shown) is ("q" in profiles)


def rows_of(state: RunState) -> list[dict[str, object]]:
    return [dict(summary.attempt_row(state, attempt)) for attempt in state.attempts.values()]


@pytest.mark.parametrize(
    ("verdict", "steps"),
    [
        ("accepted", ["show", "diff", "logs", "take"]),
        ("rejected", ["logs b/q/1 --check", "logs b/q/1", "show"]),
        ("agent-error", ["logs b/q/1", "show"]),
    ],
)
def test_the_next_steps_fit_what_happened(verdict: str, steps: list[str]) -> None:
    events = [
        event.model_copy(update={"branch": "corral/r/b"}) if isinstance(event, e.AttemptGathered) else event
        for event in life("b/q/1", verdict)
    ]
    state = after(started(make_plan(OTHER)), *events)
    said = [row.strip() for row in drawn(report.next_steps(state), 120).splitlines()[1:-1]]
    assert [row.startswith(f"corral {step}") for row, step in zip(said, steps, strict=True)] == [True] * len(
        steps
    )


def test_a_plan_says_what_may_leave_besides_model_calls() -> None:
    made = make_plan(LONG, OTHER)
    hosts = (AllowedHost(name="docs.example.org"), AllowedHost(name="example.org", subdomains=True, port=22))
    tasks = tuple(task.model_copy(update={"network": hosts}) for task in made.tasks)
    forecast = Forecast(
        jobs=1, outlets={"steady": "nothing", "q": "nothing"}, images={}, weaker=(), broken=()
    )
    words = "docs.example.org (443 and 80), *.example.org:22 (22)"
    for plan, whose in (
        (made.model_copy(update={"tasks": tasks}), "each attempt"),
        (made.model_copy(update={"tasks": (tasks[0], made.tasks[1])}), LONG.task),
    ):
        assert f"hosts that {whose} may reach: {words}\n" in drawn(plan_view.terminal(plan, forecast), 120)
    assert "may reach" not in drawn(plan_view.terminal(made, forecast), 120)


def test_a_plan_says_what_the_model_s_service_may_do_besides_answering() -> None:
    made = make_plan(LONG, OTHER)
    forecast = Forecast(
        jobs=1, outlets={"steady": "nothing", "q": "nothing"}, images={}, weaker=(), broken=()
    )
    open_task = made.tasks[0].model_copy(update={"hosted": ("web_search", "code_execution")})
    said = drawn(
        plan_view.terminal(made.model_copy(update={"tasks": (open_task, made.tasks[1])}), forecast), 200
    )
    words = "web_search, code_execution; fees for their use are counted in no budget"
    assert f"what {LONG.task} may have the model's service do: {words}\n" in said
    assert "may have" not in drawn(plan_view.terminal(made, forecast), 120)
