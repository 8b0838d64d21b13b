"""The order of compared attempts: blocks, drawn from a seed."""

from __future__ import annotations

import csv
import io
import re
from collections import defaultdict
from collections.abc import Iterator
from itertools import groupby, permutations
from statistics import mean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.compare.side_by_side import grid
from runner.errors import TaskFileError
from runner.names import AttemptKey
from runner.supervisor.host.forecast import Forecast
from runner.supervisor.scoring import scored
from runner.tasks.fanout import expand
from runner.tasks.fields import LARGEST_SEED
from runner.tasks.plan import Plan
from runner.tasks.planning import make_plan, wanted_repos
from runner.tasks.taskfile import load
from runner.views import junit, plan_view, report, summary, tabular
from tests.unit.makers import after, life, started
from tests.unit.test_planning import FILE, PROFILES, fact, order
from tests.unit.test_views import drawn as shown

SEEDS = st.integers(0, LARGEST_SEED)
TASKS = """\
tasks:
  - {id: a, prompt: p}
  - {id: b, prompt: p, needs: [a]}
  - {id: tidy, agent: own, needs: [b]}
  - {id: c, prompt: p}
  - {id: d, prompt: p, needs: [tidy]}
"""
COMPARE = "compare: {agents: [p1, p2, p3], repeats: 2}\n"
THREE = PROFILES + "  p3: {cli: codex, model: m3}\n"
FREE = THREE + "tasks: [{id: a, prompt: p}, {id: b, prompt: p}, {id: c, prompt: p}]\n" + COMPARE


def drawn(seed: int | None, text: str = THREE + TASKS + COMPARE) -> Plan:
    file = load(text, FILE)
    facts = {wanted: fact(wanted) for wanted in wanted_repos(file, FILE)}
    return make_plan(file, FILE, "night", facts, versions={"claude": "1"}, seed=seed)


def blocks(plan: Plan) -> Iterator[tuple[tuple[str, int], list[str]]]:
    for block, attempts in groupby(plan.attempts, key=lambda one: (one.task, one.n)):
        yield block, [one.profile for one in attempts]


@given(SEEDS, st.sampled_from(["", "mode: sequential\n"]))
def test_whatever_is_drawn_blocks_are_whole_and_needs_come_first(seed: int, mode: str) -> None:
    plan = drawn(seed, mode + THREE + TASKS + COMPARE)
    assert sorted(order(plan)) == sorted(order(drawn(None, mode + THREE + TASKS + COMPARE)))
    found = list(blocks(plan))
    assert len(found) == len({block for block, _ in found}), "attempts of a block are neighbours"
    assert all(sorted(profiles) in (["p1", "p2", "p3"], ["own"]) for _, profiles in found)
    place = {name: at for at, name in enumerate(order(plan))}
    for one in plan.attempts:
        needed = [*one.start, *one.settled, *one.previous, *(name for group in one.after for name in group)]
        assert all(place[name] < place[str(one.key)] for name in needed)


@given(SEEDS)
def test_the_same_seed_gives_the_same_order(seed: int) -> None:
    plan = drawn(seed)
    assert (plan.seed, order(plan)) == (seed, order(drawn(seed)))
    assert plan == Plan.model_validate_json(plan.model_dump_json())


def test_what_it_gives_stays_so_in_every_version() -> None:
    """Journals hold a seed, and the order is drawn again when items become known."""
    assert order(drawn(7))[:9] == [
        "a/p3/1", "a/p1/1", "a/p2/1", "c/p1/1", "c/p3/1", "c/p2/1", "b/p3/1", "b/p2/1", "b/p1/1",
    ]  # fmt: skip


def test_over_many_seeds_nobody_goes_first_more_often() -> None:
    places: dict[str, list[int]] = defaultdict(list)
    firsts: dict[str, set[str]] = defaultdict(set)
    inside: dict[tuple[str, ...], int] = defaultdict(int)
    for seed in range(600):
        plan = drawn(seed, FREE)
        for at, one in enumerate(plan.attempts):
            places[one.profile].append(at)
        for (task, n), profiles in blocks(plan):
            inside[tuple(profiles)] += 1
            firsts[f"{task}/{n}"].add(profiles[0])
    middle = (18 - 1) / 2
    assert {profile: pytest.approx(middle, abs=0.25) for profile in places} == {
        profile: mean(at) for profile, at in places.items()
    }
    assert set(inside) == set(permutations(("p1", "p2", "p3")))
    assert max(inside.values()) < 1.2 * min(inside.values())
    assert all(first == {"p1", "p2", "p3"} for first in firsts.values())


def test_blocks_change_places_within_a_repeat() -> None:
    seen = {tuple(block for block, _ in blocks(drawn(seed, FREE))) for seed in range(300)}
    assert len(seen) == 36, "six orders of the first repeat, six of the second"
    assert all([n for _, n in one] == [1, 1, 1, 2, 2, 2] for one in seen)


def test_what_is_not_compared_keeps_its_place() -> None:
    text = (
        THREE + "tasks: [{id: x, agent: own}, {id: a, prompt: p}, {id: y, agent: own}, {id: b, prompt: p}]\n"
    )
    for seed in range(20):
        tasks = [task for (task, _), _ in blocks(drawn(seed, text + "compare: {agents: [p1, p2]}\n"))]
        assert (tasks[0], tasks[2]) == ("x", "y")


@given(SEEDS)
def test_items_that_become_known_move_nobody_within_a_block(seed: int) -> None:
    text = (
        THREE
        + "tasks: [{id: a, prompt: p}, {id: f, prompt: 'x {item}', for_each: {command: ls}}]\n"
        + COMPARE
    )
    before = drawn(seed, text)
    plan = expand(before, "f", ("u", "v"))
    assert plan.seed == seed
    assert order(plan) == order(expand(before, "f", ("u", "v"))), "a journal that is read again says the same"
    kept = [one for one in order(plan) if AttemptKey.parse(one).task == "a"]
    assert kept == [one for one in order(before) if AttemptKey.parse(one).task == "a"]
    assert {task for (task, _), _ in blocks(plan)} == {"a", "f.1", "f.2"}


def test_the_file_can_name_the_seed_and_nothing_else_is_drawn() -> None:
    named = THREE + TASKS + "compare: {agents: [p1, p2], seed: 5}\n"
    assert (drawn(9, named).seed, order(drawn(9, named))) == (5, order(drawn(10, named)))
    assert drawn(9, PROFILES + "default_agent: p1\n" + TASKS).seed is None
    with pytest.raises(TaskFileError, match=r"compare.seed: -1 is out of range"):
        drawn(1, named.replace("seed: 5", "seed: -1"))


def test_the_plan_says_where_the_order_comes_from() -> None:
    forecast = Forecast(2, dict.fromkeys(("p1", "p2", "p3", "own"), "nothing"), {}, (), ())
    said = shown(plan_view.terminal(drawn(7), forecast), 240)
    assert "drawn from the seed 7; another plan draws another" in " ".join(said.split())
    assert "seed" not in shown(plan_view.terminal(drawn(None), forecast), 240)
    assert plan_view.as_json(drawn(7), forecast)["plan"]["seed"] == 7  # type: ignore[index, call-overload]


@pytest.mark.parametrize("seed", [1, 7])
def test_whoever_reads_finds_everything_as_the_file_is_written(seed: int) -> None:
    """Lots say when an attempt begins, and nothing of where it is told; a tenth comes after a ninth."""
    text = THREE + TASKS + "compare: {agents: [p1, p2, p3], repeats: 12}\n"
    plan = drawn(seed, text)
    written = [f"{task}/{profile}/{n}"
               for task in ("a", "b", "tidy", "c", "d")
               for profile in (("own",) if task == "tidy" else ("p1", "p2", "p3"))
               for n in (range(1, 2) if task == "tidy" else range(1, 13))]  # fmt: skip
    state = started(plan, image=False)
    for name in order(plan):
        state = after(state, *life(name, "rejected"))
    rows = csv.DictReader(io.StringIO(tabular.text_csv(state)))
    assert [f"{row['task']}/{row['profile']}/{row['n']}" for row in rows] == written
    told = summary.summary(state)["attempts"]
    assert isinstance(told, list)
    named = [one for one in told if isinstance(one, dict)]
    assert [f"{one['task']}/{one['profile']}/{one['n']}" for one in named] == written
    markdown = report.text_markdown(state).replace("`", "")
    assert re.findall(r"^\| ([a-z0-9/]+/\d+) ", markdown, re.MULTILINE) == written
    cases = re.findall(r'<testcase classname="([^"]+)" name="([^"]+)"', junit.text_xml(state))
    assert [f"{task}/{name}" for task, name in cases] == written
    assert [one.attempt for one in scored(state)] == [name for name in written if not name.startswith("tidy")]
    assert [row[0] for row in grid(plan.compared, scored(state))] == ["a", "b", "c", "d"]
