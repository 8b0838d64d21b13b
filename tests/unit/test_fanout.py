"""Items: what may be one, and what a plan becomes once they are known."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.errors import TaskFileError
from runner.names import branch, is_id
from runner.tasks import fanout, items
from runner.tasks.fanout import FanOutError, expand
from runner.tasks.plan import Plan
from tests.unit.test_planning import PROFILES, order, planned


def plan_of(tasks: str, top: str = "default_agent: p1\n") -> Plan:
    return planned(f"{PROFILES}{top}tasks:\n{tasks}")


CHECK = 'test -f "$CORRAL_ITEM"'
FAN = f"  - {{id: fix, prompt: 'fix {{item}} in {{this}}', for_each: [a.py, b.py], check: '{CHECK}'}}\n"


def test_each_item_is_a_task_and_the_item_is_in_its_prompt_alone() -> None:
    plan = expand(plan_of(FAN), "fix", ("a.py", "b c"))
    assert order(plan) == ["fix.1/p1/1", "fix.2/p1/1"]
    assert [(t.id, t.of, t.item, t.prompt) for t in plan.tasks] == [
        ("fix.1", "fix", "a.py", "fix a.py in {this}"),
        ("fix.2", "fix", "b c", "fix b c in {this}"),
    ]
    assert {task.check for task in plan.tasks} == {CHECK}
    assert plan.waiting == ()


def test_profiles_stay_side_by_side_for_each_item() -> None:
    plan = expand(plan_of(FAN, "compare: {agents: [p1, p2], repeats: 2}\n"), "fix", ("x", "y"))
    assert order(plan) == [
        "fix.1/p1/1", "fix.1/p2/1", "fix.2/p1/1", "fix.2/p2/1",
        "fix.1/p1/2", "fix.1/p2/2", "fix.2/p1/2", "fix.2/p2/2",
    ]  # fmt: skip


def test_what_needs_it_waits_for_every_item_and_starts_from_the_base() -> None:
    plan = plan_of(FAN + "  - {id: join, prompt: p, needs: [fix]}\n")
    assert plan.attempt("join/p1/1").start == ()
    join = expand(plan, "fix", ("x", "y")).attempt("join/p1/1")
    assert join.after == (("fix.1/p1/1",), ("fix.2/p1/1",))
    assert expand(plan, "fix", ()).attempt("join/p1/1").after == ()


def test_or_for_one_of_them_once_all_have_ended() -> None:
    plan = plan_of(FAN + "  - {id: join, prompt: p, needs: [fix], fan_in: any}\n")
    join = expand(plan, "fix", ("x", "y")).attempt("join/p1/1")
    assert join.after == (("fix.1/p1/1", "fix.2/p1/1"),)
    assert join.settled == ("fix.1/p1/1", "fix.2/p1/1")
    assert expand(plan, "fix", ()).attempt("join/p1/1").after == (), "of nothing nobody waits for one"


def test_lineages_are_kept() -> None:
    plan = plan_of(FAN + "  - {id: join, prompt: p, needs: [fix]}\n", "compare: {agents: [p1, p2]}\n")
    join = expand(plan, "fix", ("x", "y")).attempt("join/p2/1")
    assert join.after == (("fix.1/p2/1",), ("fix.2/p2/1",))


def test_items_can_need_items_in_either_order_of_finding_them() -> None:
    plan = plan_of(FAN + "  - {id: test, prompt: 'test {item}', needs: [fix], for_each: [u, v]}\n")
    first = expand(expand(plan, "fix", ("x", "y")), "test", ("u", "v"))
    assert first == expand(expand(plan, "test", ("u", "v")), "fix", ("x", "y"))
    assert first.attempt("test.2/p1/1").after == (("fix.1/p1/1",), ("fix.2/p1/1",))


def test_in_a_sequential_run_items_come_one_after_another() -> None:
    tasks = "  - {id: a, prompt: p}\n" + FAN + "  - {id: z, prompt: p}\n"
    plan = plan_of(tasks, "default_agent: p1\nmode: sequential\n")
    found = expand(plan, "fix", ("x", "y"))
    assert [found.attempt(name).previous for name in order(found)] == [
        (), ("a/p1/1",), ("fix.1/p1/1",), ("fix.2/p1/1",),
    ]  # fmt: skip
    assert all(one.checkpoint for one in found.attempts)
    assert expand(plan, "fix", ()).attempt("z/p1/1").previous == ("a/p1/1",)


def test_paths_take_the_item_where_it_is_one() -> None:
    plan = plan_of("  - {id: fix, prompt: '{item}', for_each: [x], paths: ['{item}', 'tests/{item}']}\n")
    assert expand(plan, "fix", ("src/a.py",)).tasks[0].paths == ("src/a.py", "tests/src/a.py")
    for item in ("../x", "/etc/passwd", ".git/config"):
        with pytest.raises(FanOutError, match="no path"):
            expand(plan, "fix", (item,))


def test_a_plan_stays_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_of(FAN + "  - {id: join, prompt: 'p {item}', needs: [fix], for_each: [u]}\n")
    many = tuple(map(str, range(300)))
    with pytest.raises(FanOutError, match="need each other 90000 times"):
        expand(expand(plan, "fix", many), "join", many)
    monkeypatch.setattr(fanout, "MOST_ATTEMPTS", 100)
    with pytest.raises(FanOutError, match="301 attempts; at most 100"):
        expand(plan, "fix", many)
    monkeypatch.setattr(fanout, "MOST_ATTEMPTS", 1000)
    monkeypatch.setattr(fanout, "MOST_WORDS", 1000)
    with pytest.raises(FanOutError, match="all prompts"):
        expand(plan, "fix", many)


def test_a_long_name_has_no_room_for_numbers() -> None:
    name = "x" * 64
    plan = plan_of(f"  - {{id: {name}, prompt: p, for_each: [a]}}\n")
    with pytest.raises(FanOutError, match="too long"):
        expand(plan, name, ("a",))


HOSTILE = st.text(max_size=40) | st.sampled_from(
    ["../../x", "-rf", "$(id)", "`id`", "a\u202eb", "x y", "@p2 do", "{item}"]
)


@given(st.lists(HOSTILE, max_size=5))
def test_an_item_breaks_out_of_nothing(some: list[str]) -> None:
    """Whatever text is an item: names and branches don't hold it, and a prompt holds it on one line."""
    try:
        good = items.bounded(some)
    except items.ItemError:
        return
    plan = expand(plan_of(FAN), "fix", good)
    for number, (task, attempt) in enumerate(zip(plan.tasks, plan.attempts, strict=True), start=1):
        assert is_id(task.id)
        assert branch("r", attempt.key) == f"corral/r/fix.{number}/p1/1"
        assert task.prompt == f"fix {good[number - 1]} in {{this}}"
        assert task.prompt.isprintable()
        assert attempt.profile == "p1"
        assert items.variables(task.item) == {"CORRAL_ITEM": good[number - 1]}
    assert Plan.model_validate_json(plan.model_dump_json()) == plan


@pytest.mark.parametrize(
    ("printed", "found"),
    [
        (b"a\nb\r\n\n  c d \na\n", ("a", "b", "c d")),
        (b"", ()),
        ("é\n".encode(), ("é",)),
    ],
)
def test_lines_are_items(printed: bytes, found: tuple[str, ...]) -> None:
    assert items.from_lines(printed.split(b"\n")) == found


@pytest.mark.parametrize(
    "printed", [b"\xff", b"a\x1b[2J", b"x" * 1025, "a\u202eb".encode(), b"a\tb", b"a\0b"]
)
def test_other_lines_are_not(printed: bytes) -> None:
    with pytest.raises(items.ItemError):
        items.from_lines([printed])


def test_there_are_not_too_many() -> None:
    with pytest.raises(items.ItemError, match="more than 10000 items"):
        items.from_lines(str(number).encode() for number in range(10_001))
    with pytest.raises(items.ItemError, match="MiB"):
        items.from_lines(f"{number:05}{'x' * 1000}".encode() for number in range(5000))


def test_braces_without_quotes_are_explained() -> None:
    with pytest.raises(TaskFileError) as caught:
        plan_of("  - {id: fix, prompt: p, for_each: [x], paths: [{item}]}\n")
    assert caught.value.problems[0].cure == "put it into quotes: '{item}'"
