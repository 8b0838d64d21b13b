"""Nothing that is shown can act on a terminal or a page."""

from __future__ import annotations

import io
import json
import re
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from rich.text import Text

from runner.names import AttemptKey
from runner.supervisor import events as e
from runner.supervisor.host.doctor import Finding
from runner.supervisor.host.forecast import Forecast
from runner.supervisor.journal import Row
from runner.supervisor.state import RunState
from runner.tasks.plan import PlannedAttempt
from runner.views import live, machine_lines, plan_view, report, summary
from runner.views.inert import InertConsole, block, inert, line, markdown
from tests.support import within
from tests.unit.makers import after, life, make_plan, started

ACTIVE = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
OWN = re.compile(r"\x1b\[[0-9;]*m")
"""What our own views print besides text: colours."""

hostile = st.text(
    alphabet=st.sampled_from("\x1b]52;c;\x07\x9b\x9d[0m\r\n\u202e\u2066\u200b\ufeff\ue000\U000e0041|`<>*\\")
    | st.characters(),
    max_size=60,
)


@given(st.text(max_size=300))
def test_no_active_character_is_left(text: str) -> None:
    for shown in (inert(text), line(text), markdown(text)):
        assert all(unicodedata.category(c) not in ACTIVE for c in shown)
    assert all(unicodedata.category(c) not in ACTIVE - {"Cc"} for c in block(text))
    assert "\x1b" not in block(text)


@given(st.text(alphabet=st.characters(codec="latin-1", categories=["L", "N", "P"]), max_size=100))
def test_plain_text_stays_as_it_is(text: str) -> None:
    assert inert(text) == text


@given(hostile)
def test_making_inert_twice_changes_nothing(text: str) -> None:
    assert inert(inert(text)) == inert(text)


def test_known_attacks() -> None:
    assert inert("\x1b]52;c;Zm9v\x07") == "\\x1b]52;c;Zm9v\\x07"
    assert inert("a\u202eb") == "a\\u202eb"
    assert inert("a\u3164\ufe01b") == "a\\u3164\\ufe01b"
    assert "\r" not in line("ok\rFAKE")
    assert markdown("<script>|`x`") == "`` <script>\\x7c`x` ``"
    assert markdown("a `x` b") == "``a `x` b``"
    assert markdown("@you www.evil.example GH-1 &lrm;") == "`@you www.evil.example GH-1 &lrm;`"
    assert markdown(" ") == ""


@given(st.text(alphabet="`` \\|a<*[", min_size=1, max_size=40) | hostile)
def test_in_markdown_it_is_code_and_nothing_else(text: str) -> None:
    """As a reader of Markdown has it: one piece of code on a line, which holds the text."""
    shown = markdown(text)
    if not shown:
        return
    before, inside, after_it = MarkdownIt().parse(f"{shown}\n")
    assert inside.children is not None
    (code,) = inside.children
    assert (before.type, code.type, after_it.type) == ("paragraph_open", "code_inline", "paragraph_close")
    assert code.content == line(text, 500).replace("|", "\\x7c")


def test_long_text_is_shortened() -> None:
    assert len(inert("x" * 10_000, most=100)) == 100
    assert block("x\n" * 100, most=10).endswith("cut here")


def printed(what: object, width: int = 80) -> str:
    """What a terminal is sent."""
    file = io.StringIO()
    InertConsole(file=file, force_terminal=True, color_system="truecolor", width=width).print(what)
    return file.getvalue()


def is_inert(sent: str) -> bool:
    """Whether nothing but our own colours and text is in it."""
    text = OWN.sub("", sent)
    return all(unicodedata.category(c) not in ACTIVE or c == "\n" for c in text)


@given(hostile)
def test_a_console_prints_nothing_active_whatever_a_view_forgot(text: str) -> None:
    assert is_inert(printed(Text(text)))
    assert is_inert(printed(text))


def test_this_very_test_sees_what_a_plain_console_lets_through() -> None:
    from rich.console import Console  # noqa: PLC0415 - the one that no view may use

    file = io.StringIO()
    Console(file=file, force_terminal=True).print(Text("\x1b]0;x\u202e"))
    assert not is_inert(file.getvalue())


words = st.tuples(hostile, hostile)


@st.composite
def attacked(draw: st.DrawFn) -> RunState:
    """A run in which every text that a box, a repository or an engine chooses is hostile."""
    plan = make_plan(PlannedAttempt(task="a", profile="p"), PlannedAttempt(task="b", profile="p"))
    source = plan.sources[0].model_copy(update={"repo": draw(hostile), "setup": (draw(hostile),)})
    tasks = tuple(
        task.model_copy(update={"prompt": draw(hostile), "check": draw(hostile), "protect": (draw(hostile),)})
        for task in plan.tasks
    )
    plan = plan.model_copy(
        update={"sources": (source,), "tasks": tasks, "notes": (draw(hostile),), "compared": ("p",),
                "file": draw(hostile)}
    )  # fmt: skip
    state = started(plan)
    story = [
        event.model_copy(update={"reason": draw(hostile), "flags": draw(words)})
        if isinstance(event, e.AttemptEnded)
        else event.model_copy(
            update={"reason": draw(hostile), "kept": draw(hostile), "flags": (draw(hostile),)}
        )
        if isinstance(event, e.AttemptGathered)
        else event.model_copy(update={"reason": draw(hostile)})
        if isinstance(event, e.AttemptChecked | e.AttemptFinal)
        else event
        for event in life("a/p/1", "accepted")
    ]
    return after(state, *story, e.AttemptStarted(at=2, attempt="b/p/1", box="1" * 12, base="a" * 40))


VIEWS: dict[str, Callable[[RunState, str], Any]] = {
    "report": lambda state, _: report.terminal(state),
    "next steps": lambda state, _: report.next_steps(state),
    "attempt": lambda state, text: report.attempt(state, first(state), Path("/x") / text.replace("\0", "")),
    "finding": lambda _, text: report.finding(Finding(text, "weaker", text, text)),
    "diff": lambda _, text: report.diff(text.encode(errors="replace")),
    "live": lambda state, text: live.draw(state, {"b/p/1": signs(text)}, text, 9),
    "image failed": lambda state, text: live.sentence(
        e.ImageFailed(at=1, source=0, cli=None, reason=text), state
    ),
    "image line": lambda state, text: live.sentence(
        e.ImageLine(at=1, source=0, cli=None, line=f"building {text}"), state
    ),
    "final": lambda state, _: live.sentence(e.AttemptFinal(at=1, attempt="a/p/1", verdict="done"), state),
    "plan": lambda state, text: plan_view.terminal(state.plan, forecast(state, text)),
}


def first(state: RunState) -> Any:
    return state.attempts[AttemptKey.parse("a/p/1")]


def image_failed(text: str) -> e.ImageFailed:
    return e.ImageFailed(at=1, source=0, cli=None, reason=text)


def signs(text: str) -> e.Signs:
    return e.Signs(at=4, attempt="b/p/1", stage="running", doing=text, cpu=0.5, memory=1, tokens=7)


def forecast(state: RunState, text: str) -> Forecast:
    return Forecast(
        jobs=2,
        images={0: [(text, False)]},
        outlets={p.name: text for p in state.plan.profiles},
        weaker=(text,),
        broken=(),
    )


@pytest.mark.parametrize("name", VIEWS)
@given(state=attacked(), text=hostile, width=st.sampled_from([20, 80, 240]))
def test_every_view_is_inert(name: str, state: RunState, text: str, width: int) -> None:
    assert is_inert(printed(VIEWS[name](state, text), width))


@given(attacked())
def test_the_markdown_report_is_inert(state: RunState) -> None:
    """No control character, no markup, and no row of a table more than there are attempts."""
    text = report.text_markdown(state)
    assert all(unicodedata.category(c) not in ACTIVE or c == "\n" for c in text)
    outside = re.sub(r"(?<!`)(`+)(?!`)[^\n]*?(?<!`)\1(?!`)", "", text)
    assert not re.search(r"[<>&@`\[\]\\]", outside), "whatever is not ours stands in code"
    rows = [row for row in text.splitlines() if row.startswith(("| `a/p/1` ", "| `b/p/1` "))]
    assert len(rows) == 2
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {9}


@given(attacked(), hostile)
def test_json_for_programs_is_valid_and_plain_ascii(state: RunState, text: str) -> None:
    lines: list[str] = []
    watcher = machine_lines.JsonLines(lambda row: lines.append(json.dumps(row)))
    watcher(Row(1, "r", image_failed(text)), state)
    watcher(Row(2, "r", e.RunEnded(at=2, exit_code=0)), state)
    lines.append(json.dumps(summary.summary(state), indent=2))
    lines.append(json.dumps(plan_view.as_json(state.plan, forecast(state, text)), indent=2))
    for shown in lines:
        assert json.loads(shown)
        assert all(c == "\n" or 0x20 <= ord(c) < 0x7F for c in shown)


@pytest.mark.parametrize(
    "raw", [b"+x\n" * 1_000_000, b"\x1b[31m" * 400_000, b"+" * 10_000_000, ("\u202e\n" * 500_000).encode()]
)
def test_the_work_on_a_diff_of_any_size_is_bounded(raw: bytes) -> None:
    with within(10):
        sent = printed(report.diff(raw), 240)
    assert is_inert(sent)
    assert "more lines" in sent
