"""Task files: the one in the documentation, several problems at once, large ones, and noise."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from runner.errors import TaskFileError
from runner.tasks.check_part import CheckPart
from runner.tasks.models import keys_of, parts
from runner.tasks.taskfile import load
from tests.support import within
from tests.unit.test_task_refusals import FILE, ONE, TWO, problems, task

EXAMPLE = """\
repo: .
base: main
image: {devcontainer: true}
setup: ["pip install -e '.[test]'"]
include: [.env.test]
limits: {cpus: 2, memory: 4GiB, pids: 512, disk: 10GiB, time: 45min, idle: 10min}
agents:
  opus-high: {cli: claude, model: claude-opus-5-5, effort: high}
  opus-low:  {cli: claude, model: claude-opus-5-5, effort: low, args: [--verbose], env: {A: '1'}}
  lint:      {cli: command, run: ['ruff', 'check', '--fix', '.']}
tasks:
  - id: fix-parser
    prompt: |
      The parser drops trailing commas.
    check: pytest -q tests/test_parser.py
    protect: [tests/]
    limits: {memory: 512m}
  - id: lint-it
    needs: [fix-parser]
    agent: lint
    may_be_empty: true
compare: {agents: [opus-high, opus-low], repeats: 3}
"""


def test_the_example() -> None:
    file = load(EXAMPLE, FILE)
    assert file.setup == ("pip install -e '.[test]'",)
    assert file.limits.memory == 4 * 1024**3
    assert file.limits.time == 2700
    assert file.tasks[0].limits is not None
    assert file.tasks[0].limits.memory == 512 * 1024**2
    assert file.compare is not None
    assert file.compare.repeats == 3
    assert file.line("tasks", 1, "agent") == 20
    assert file.line("tasks", 1, "repo") is None


def test_what_this_version_does_not_do_is_refused_and_not_ignored() -> None:
    text = EXAMPLE.replace("effort: high", "effort: max").replace("cli: command", "cli: cursor")
    found = problems(text)
    assert [line for line, _, _ in found] == [10]
    assert "cli 'cursor' is not supported by this version" in found[0][1]
    assert "`claude`, `codex` or `command`" in found[0][2]


def test_what_asks_for_nothing_is_no_refusal() -> None:
    text = EXAMPLE + "budget: {attempt: {}}\nnetwork: {allow: []}\n"
    load(text.replace("repeats: 3", "retry: false"), FILE)


def test_a_secret_is_refused_and_not_repeated() -> None:
    secret = "sk-ant-" + "q7" * 12
    for place in (f"run: x, env: {{A: {secret}}}", f"run: [x, {secret}]", f"run: 'echo {secret}'"):
        found = problems(f"agents:\n  a: {{cli: command, {place}}}\ntasks: [{{id: t}}]\n")
        assert [line for line, _, _ in found] == [2]
        assert "Anthropic key" in found[0][1]
        assert secret not in str(found)


def test_all_problems_are_told_at_once_in_the_order_of_lines() -> None:
    found = problems(
        "limits: {memory: lots}\n"
        + TWO
        + "tasks:\n"
        + "  - {id: x, prompt: p, agent: c, chek: 1}\n"
        + "  - {id: x, needs: [y], agent: a}\n"
        + "  - {id: z, prompt: p, needs: [z], agent: a}\n"
        + "  - {id: z, prompt: p, agent: a, agent: b}\n"
        + "compare: {agents: [a], repeats: 0}\n"
    )
    assert [line for line, _, _ in found] == [1, 4, 4, 5, 5, 5, 6, 7, 7, 8, 8]
    with pytest.raises(
        TaskFileError, match=r"/somewhere/night\.yaml:1: limits\.memory: 'lots' is not a size"
    ):
        load("limits: {memory: lots}\n" + task("prompt: p"), FILE)


def test_a_flood_of_problems_is_cut_and_counted() -> None:
    found = problems(
        ONE + "tasks:\n" + "".join(f"  - {{id: t{n}, promt: p, prompt: p}}\n" for n in range(300))
    )
    assert len(found) == 101
    assert found[-1][1] == "and at least 200 problems more"


def test_a_prompt_of_a_megabyte() -> None:
    lines = "".join(
        f"      line {n}: é ✓ some words that fill it: 'quotes' and #hashes\n" for n in range(18_000)
    )
    text = ONE + "tasks:\n  - id: t\n    prompt: |\n" + lines + "    check: make\n"
    assert len(text) > 1_000_000
    with within(5):
        file = load(text, FILE)
    assert (file.tasks[0].prompt or "").count("\n") == 18_000
    assert file.tasks[0].check == {"check": CheckPart(run="make")}


def test_a_command_too_long_to_be_run_is_refused() -> None:
    found = problems(task(f"prompt: p\n    check: {'x' * 140_000}"))
    assert "too long for an argument" in found[0][1]
    assert found[0][0] == 5


KEYS = sorted({key for part in parts().values() for key in keys_of(part)} | {"a", "b", "x"})
leaves: st.SearchStrategy[Any] = st.sampled_from(
    [
        "a",
        "b",
        "t",
        "claude",
        "command",
        "base",
        "4GiB",
        "1h",
        "script:x",
        1,
        0,
        -1,
        1.5,
        True,
        False,
        None,
        "",
    ]
) | st.text(max_size=8)
noise = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=6),
    max_leaves=30,
)
files = st.fixed_dictionaries(
    {"agents": st.dictionaries(st.sampled_from("ab"), noise), "tasks": st.lists(noise, max_size=4)},
    optional={key: noise for key in keys_of(parts()[""]) if key not in {"agents", "tasks"}},
)


def refused_well(text: str) -> bool:
    """Whether loading raises, which must be a task file's error with problems in it, in inert words."""
    try:
        load(text, FILE)
    except TaskFileError as error:
        return bool(error.problems) and all(problem.message.isprintable() for problem in error.problems)
    return False


def is_good(text: str) -> bool:
    with suppress(TaskFileError):
        return bool(load(text, FILE).tasks)
    return False


@given(st.one_of(noise, files))
def test_no_structure_raises_anything_but_task_file_errors(value: object) -> None:
    text = yaml.safe_dump(value, allow_unicode=True)
    assert refused_well(text) != is_good(text)


@given(st.text())
def test_no_text_raises_anything_but_task_file_errors(text: str) -> None:
    assert refused_well(text)


@given(
    st.integers(0, len(EXAMPLE)),
    st.integers(0, 12),
    st.text(alphabet="ab:-[]{}&*!|>'\"#\n ,?%@`\t\0é", max_size=4),
)
def test_no_slip_in_a_good_file_raises_anything_else(start: int, length: int, put: str) -> None:
    text = EXAMPLE[:start] + put + EXAMPLE[start + length :]
    assert refused_well(text) != is_good(text)


def test_thousands_of_slips_take_no_longer_than_a_look() -> None:
    tasks = "".join(
        f"  - {{id: t{n}, prompt: p, needs: [x{n}, y{n}, t{n}], from: z}}\n" for n in range(2_000)
    )
    with within(10):
        assert len(problems(f"{ONE}tasks:\n{tasks}")) == 101
