"""What people look at: nothing is cut wrongly on a narrow screen, and nothing is said twice."""

from __future__ import annotations

import io
import time
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest
from rich.console import Console, Group
from rich.text import Text

from runner.gateway.grants import Account, Held, Outlook, Standing, Usage, Window
from runner.gather.tampering import Sign
from runner.names import AttemptKey
from runner.supervisor import events as e
from runner.supervisor.finding import command, find_attempt
from runner.supervisor.host.forecast import Forecast
from runner.supervisor.journal import Row
from runner.supervisor.state import RunState, begin
from runner.tasks.plan import AllowedHost, MailTerms, PlannedAttempt, Upstream
from runner.views import (
    fairness,
    gateway_view,
    holds,
    live,
    machine_lines,
    plan_view,
    pull_request,
    report,
    summary,
    together,
)
from runner.views.fitting import Column, Fitting, chosen
from runner.views.inert import InertConsole
from runner.views.page.headline import headline
from runner.views.page.material import Material, Shown
from runner.views.page.together import integrations
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


def cheated(*names: str) -> RunState:
    """Attempts that were accepted; these deleted a test for it."""
    state = started(make_plan(LONG, OTHER))
    for name in map(str, state.attempts):
        signs = (Sign(kind="test-deleted", path="tests/test_a.py"),) if name in names else ()
        more = {"branch": f"corral/r/{name}", "signs": signs}
        lived = life(name, "accepted")
        state = after(
            state,
            *(one.model_copy(update=more) if isinstance(one, e.AttemptGathered) else one for one in lived),
        )
    return state


def test_a_cheat_is_never_proposed_before_honest_work() -> None:
    first, second = map(str, cheated().attempts)
    assert f"corral take {first} my-branch --run r\n" in drawn(report.next_steps(cheated()), 120)
    one = drawn(report.next_steps(cheated(first)), 120)
    assert f"corral take {second} my-branch --run r" in one
    assert first not in one
    assert "corral integrate" not in one
    both = drawn(report.next_steps(cheated(first, second)), 120)
    assert f"corral take {first} my-branch --run r   # the audit found that it cheated" in both
    state = cheated(first)
    bodies = [pull_request.body(state, attempt) for attempt in state.attempts.values()]
    assert ["The audit found that it cheated**: " in body for body in bodies] == [True, False]
    pages = {names: page_of(cheated(*names)) for names in ((), (first,), (first, second))}
    assert "2 branches can be taken." in pages[()]
    assert "1 branch can be taken. 1 accepted attempt cheated." in pages[first,]
    assert "served. 2 accepted attempts cheated." in pages[first, second]


def page_of(state: RunState) -> str:
    """The head of a run's page."""
    shown = tuple(map(Shown, state.attempts.values()))
    return str(headline(Material(state, 9.0, shown, audit=fairness.audit(state))))


def test_what_is_proposed_means_this_run_and_this_try() -> None:
    """A report is read when another run is the latest by then."""
    state = after(
        cheated(), e.AttemptRetried(at=8, attempt="b/q/1", why="person"), *life("b/q/1.2", "rejected")
    )
    assert command(state, "logs", AttemptKey("b", "q"), "--check") == "corral logs b/q/1.1 --check --run r"
    assert command(state, "logs", AttemptKey("b", "q", 1, 2)) == "corral logs b/q/1.2 --run r"
    assert find_attempt(state, "b/q/1.1").key == AttemptKey("b", "q")
    steps = drawn(report.next_steps(state), 120).splitlines()[1:]
    assert all(" r" in step.partition("#")[0] for step in steps), steps


@pytest.mark.parametrize("cause", get_args(e.Joined.model_fields["cause"].annotation))
def test_every_view_knows_why_a_branch_did_not_go_in(cause: str) -> None:
    joined = e.Joined.model_validate(
        {"attempt": "b/q/1", "went_in": False, "cause": cause, "why": "so it is"}
    )
    event = e.Integrated(at=9, repo="/x", base="a" * 40, branch=None, commit=None, joined=(joined,))
    state = after(cheated(), event)
    assert "so it is" in str(integrations(Material(state, 9.0)))
    assert "so it is" in "\n".join(together.lines(state, {}))
    assert "so it is" in pull_request.body_of_all(state, event)
    assert "so it is" in drawn(Group(*together.integrated(event, 1)), 200)


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


NOON = time.mktime((2026, 11, 26, 12, 0, 0, 0, 0, -1))
RUNNING = life("xml-streaming-attrs/steady/1", "accepted")[:2]


def held_signs(at: float, since: float | None, kind: str = "window") -> e.Signs:
    """What is told of an attempt that waits for a window since then, or for nothing."""
    told = {} if since is None else {"held": "the 5-hour window of anthropic is used up", "held_kind": kind}
    until = {} if since is None else {"held_since": since, "held_until": NOON + 7200}
    return e.Signs.model_validate(
        {
            "at": at,
            "attempt": "xml-streaming-attrs/steady/1",
            "stage": "running",
            "held_s": 90,
            **told,
            **until,
        }
    )


def test_what_is_held_why_and_until_when_is_shown_to_everyone() -> None:
    state = after(started(make_plan(LONG)), *RUNNING)
    signs = held_signs(NOON, NOON - 60)
    shown = drawn(live.draw(state, {signs.attempt: signs}, "", NOON), 160)
    assert "held" in shown
    assert "the 5-hour window of anthropic is used up, until 14:00 (in 2h)" in shown
    lines: list[summary.Json] = []
    programs, people = machine_lines.JsonLines(lines.append), io.StringIO()
    plain = live.PlainLines(InertConsole(file=people, width=200))
    for told in (
        signs,
        held_signs(NOON + 1, NOON - 60),
        held_signs(NOON + 2, None),
        held_signs(NOON + 3, None),
    ):
        programs(Row(0, "r", told), state)
        plain(Row(0, "r", told), state)
    assert [(row["held"], row["seq"]) for row in lines] == [(signs.held, None), (None, None)]
    first, second = people.getvalue().splitlines()
    assert "held: the 5-hour window of anthropic is used up, until 14:00 (in 2h)" in first
    assert "goes on, after 1min30s in all" in second


def test_a_short_wait_for_its_turn_is_no_news() -> None:
    news = holds.News()
    brief = held_signs(NOON, NOON - 1, "pace").model_copy(update={"held_until": NOON + 3})
    assert not news.of(brief)
    assert news.of(brief.model_copy(update={"at": NOON + 30}))


def test_what_was_not_started_for_a_window_says_until_when() -> None:
    shut = e.Shut(profile="q", window="the 5-hour window of anthropic", since=NOON, until=NOON + 7200)
    changed = e.WindowsChanged(at=NOON, shut=(shut,))
    state = after(started(make_plan(LONG, OTHER)), *RUNNING, changed)
    shown = drawn(live.draw(state, {}, "", NOON + 3600), 160)
    assert "for the 5-hour window of anthropic, until 14:00 (in 1h)" in shown
    said = live.sentence(changed, state)
    assert said is not None
    assert said.plain == "q: nothing new before the 5-hour window of anthropic, until 14:00"


def test_an_agent_that_waits_to_go_on_and_the_end_of_the_run_are_shown() -> None:
    name = "xml-streaming-attrs/steady/1"
    held = e.AttemptHeld(at=NOON, attempt=name, container="c", why="the model service answered 529",
                         seconds=5, held_s=7)  # fmt: skip
    begun = e.RunStarted(at=NOON, plan=make_plan(LONG), jobs=1, until=NOON + 3600)
    state = after(begin("r", begun), *RUNNING, held)
    shown = drawn(live.draw(state, {}, "", NOON), 160)
    assert "the model service answered 529" in shown
    assert "ends until 13:00 (in 1h)" not in shown
    assert "ends 13:00 (in 1h)" in shown
    (row,) = rows_of(state)
    assert row["held"] == {"kind": "overload", "why": held.why, "since": NOON, "until": None}
    assert "its end came" in drawn(live.draw(after(state, e.RunOver(at=NOON, until=NOON)), {}, "", NOON), 160)


def test_the_gateway_at_a_glance() -> None:
    held = Held(kind="window", why="the 5-hour window of anthropic is used up", since=NOON, until=NOON + 7200)
    standing = Standing(
        box="0" * 12,
        account=Account(run="r", attempt="t/p/1"),
        usage=Usage(requests=3, held=held, held_s=65),
        spent={},
    )
    outlook = Outlook(
        dialect="anthropic",
        account="work",
        family="opus",
        windows=(
            Window(name="tokens", limit=80_000, remaining=20_000, resets_at=NOON + 5),
            Window(name="weekly", used=0.17, resets_at=NOON + 3600),
        ),
        closed="5-hour",
        closed_until=NOON + 7200,
        in_flight=2,
        waiting=7,
        tokens_per_minute=61_000,
    )
    look = gateway_view.Look(17, (standing,), (outlook,))
    shown = drawn(gateway_view.terminal(look, NOON), 200).replace("\u202f", " ")
    for words in (
        "waits: the 5-hour window of anthropic is used up, until 14:00 (in 2h)",
        "anthropic work",
        "61 000 of 80 000",
        "the 5-hour window is used up, until 14:00 (in 2h)",
        "weekly 17% used, resets 13:00",
        "1min5s",
    ):
        assert words in shown
    assert gateway_view.as_json(look)["accounts"]
    assert "no gateway runs" in drawn(gateway_view.terminal(gateway_view.Look(None), NOON), 80)


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


def test_a_plan_says_who_has_mail() -> None:
    made = make_plan(LONG, OTHER)
    forecast = Forecast(
        jobs=1, outlets={"steady": "nothing", "q": "nothing"}, images={}, weaker=(), broken=()
    )
    for wait, words in ((0.0, "ends at once"), (1800.0, "waits 30min")):
        task = made.tasks[0].model_copy(update={"mail": MailTerms(wait=wait)})
        plan = made.model_copy(update={"tasks": (task, made.tasks[1])})
        said = drawn(plan_view.terminal(plan, forecast), 200)
        assert f"mail of {LONG.task}: each other and you; who asks you {words}\n" in said
    assert "mail" not in drawn(plan_view.terminal(made, forecast), 120)


def test_the_head_tells_what_was_spent_and_how_fast() -> None:
    seen = live.Seen()
    state = after(started(make_plan(LONG)), *life("xml-streaming-attrs/steady/1", "accepted")[:2])
    for second, tokens in enumerate(range(0, 6_000, 1_000)):
        signs = e.Signs(
            at=second,
            attempt="xml-streaming-attrs/steady/1",
            stage="running",
            tokens=tokens,
            usd=tokens / 1e6,
        )
        seen.signs[signs.attempt] = signs
        seen.read(state, float(second))
    assert seen.pace(5.0) == 60_000
    assert "tokens, 60\u202f000 a minute" in drawn(live.draw(state, seen.signs, "", 5, seen.pace(5.0)), 200)
    assert "a minute" not in drawn(live.draw(state, seen.signs, "", 5), 200)
