"""What a plan says of its graph before the run."""

from __future__ import annotations

import pytest

from runner.tasks.advice import advice
from tests.unit.test_graph_schedule import file_of, plan_of


@pytest.mark.parametrize(
    ("tasks", "said"),
    [
        ([{"id": "a"}, {"id": "b"}], []),
        ([{"id": "a"}], []),
        (
            [{"id": "b", "needs": ["a"]}, {"id": "a"}, {"id": "c", "needs": ["b"]}],
            ["each task needs the one before it: nothing runs side by side, however many --jobs there are"],
        ),
        ([{"id": "a"}, {"id": "b", "needs": ["a"]}, {"id": "c", "needs": ["a"]}], []),
        (
            [{"id": "a", "paths": ["x.py"]}, {"id": "b", "paths": ["x.py", "y"]}],
            [
                "all tasks work on x.py: they run one after another, however many --jobs there are",
                "tasks a and b both declare x.py: they never run side by side",
            ],
        ),
        ([{"id": "a", "paths": ["x"]}, {"id": "b", "paths": ["y"]}, {"id": "c"}], []),
        ([{"id": "a", "paths": ["x"]}, {"id": "b", "paths": ["x"], "repo": "/other"}], []),
        (
            [{"id": "a", "paths": ["src"]}, {"id": "b", "paths": ["src/x"]}, {"id": "c"}],
            ["tasks a and b both declare src/x: they never run side by side"],
        ),
        ([{"id": "a", "paths": ["s"]}, {"id": "b", "paths": ["s"], "needs": ["a"]}, {"id": "c"}], []),
        (
            [{"id": "a", "for_each": ["u", "v", "w"], "paths": ["src"]}, {"id": "c"}],
            ["all items of a declare src: they run one after another"],
        ),
        ([{"id": "a", "for_each": ["u", "v"], "paths": ["{item}"]}], []),
    ],
)
def test_advice(tasks: list[dict[str, object]], said: list[str]) -> None:
    assert list(advice(plan_of(file_of(tasks)))) == said
    assert list(advice(plan_of(file_of(tasks, mode="sequential")))) == []


def test_agents_that_are_not_told_their_item() -> None:
    text = (
        "agents: {a: {cli: claude, model: m}}\ntasks:\n  - {id: t, prompt: 'do it', for_each: [x, y]}\n"
        "  - {id: u, prompt: 'do {item}', for_each: [x]}\n\n"
        "  - {id: v, prompt: 'do', for_each: {command: ls}}\n"
    )
    assert list(advice(plan_of(text))) == [
        "the prompt of t does not hold {item}: its agents find the item in $CORRAL_ITEM alone",
        "the prompt of v does not hold {item}: its agents find the item in $CORRAL_ITEM alone",
    ]


def test_of_many_pairs_a_few_are_told() -> None:
    said = advice(plan_of(file_of([{"id": f"t{n}", "paths": ["s"]} for n in range(20)])))
    assert said[-1] == "14 more tasks declare paths that others declare"
    assert len(said) == 7
