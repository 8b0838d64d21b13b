"""Putting branches together: what is in passes, and for whatever is not there is a reason."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from math import ceil, log2
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from runner.gather.integration import Candidate, Clash, Left, Outcome, Tip, integrate, ordered

Sets = Collection[frozenset[int]]


def candidate(number: int, **more: Any) -> Candidate:
    return Candidate(
        **{
            "attempt": f"t{number}/p/1",
            "task": f"t{number}",
            "commit": f"{number}",
            "asks": (f"t{number}",),
            **more,
        }
    )


def number_of(one: Candidate) -> int:
    return int(one.task[1:])


@dataclass
class World:
    """Branches that are numbers, some of which do not merge and some of which fail together."""

    conflicts: Sets = ()
    bad: Sets = ()
    runs: list[tuple[str, ...]] = field(default_factory=list)
    remembered: dict[frozenset[int], bool] = field(default_factory=dict)

    def put(self, tip: Tip, one: Candidate) -> Tip | Clash:
        there = {number_of(member) for member in tip.members}
        if any(frozenset({number_of(one), other}) in self.conflicts for other in there):
            return Clash(("file",))
        name = "+".join(sorted(f"{number}" for number in there | {number_of(one)}))
        return Tip(name, name, (*tip.members, one))

    def passes(self, tip: Tip) -> bool:
        members = frozenset(number_of(one) for one in tip.members)
        if members and members not in self.remembered:
            self.runs.append(tip.tasks())
            self.remembered[members] = self.is_good(members)
        return not members or self.remembered[members]

    def is_good(self, members: Collection[int]) -> bool:
        return not any(bad <= set(members) for bad in self.bad)

    def integrate(self, count: int) -> Outcome:
        wanted = [candidate(number) for number in range(count)]
        return integrate(Tip("base", "base"), wanted, self.put, self.passes)


def numbers(names: Sequence[str]) -> set[int]:
    return {int(name.split("/")[0][1:]) for name in names}


def inside(outcome: Outcome) -> set[int]:
    return {number_of(one) for one in outcome.tip.members}


def groups(smallest: int, largest: int) -> Callable[[int], st.SearchStrategy[list[frozenset[int]]]]:
    def of(count: int) -> st.SearchStrategy[list[frozenset[int]]]:
        one = st.frozensets(st.integers(0, count - 1), min_size=smallest, max_size=largest)
        return st.lists(one, max_size=4)

    return of


def worlds(smallest: int = 1, largest: int = 3) -> st.SearchStrategy[tuple[int, World]]:
    def of(count: int) -> st.SearchStrategy[tuple[int, World]]:
        made = st.builds(World, groups(2, 2)(count), groups(smallest, largest)(count))
        return st.tuples(st.just(count), made)

    return st.integers(3, 24).flatmap(of)


@given(worlds())
def test_what_is_in_passes_and_what_is_not_has_a_reason(made: tuple[int, World]) -> None:
    count, world = made
    outcome = world.integrate(count)
    there = inside(outcome)
    assert world.is_good(there)
    assert there | {number_of(left.one) for left in outcome.left} == set(range(count))
    assert len(there) + len(outcome.left) == count
    for left in outcome.left:
        _see_justified(world, there, left)


def _see_justified(world: World, there: set[int], left: Left) -> None:
    one, partners = number_of(left.one), numbers(left.partners)
    assert partners <= there
    if left.cause == "conflict":
        assert all(frozenset({one, other}) in world.conflicts for other in partners)
        assert len(partners) == 1
    else:
        assert not world.is_good(there | {one})
        assert left.alone == (frozenset({one}) in world.bad)
        assert left.alone or partners
        assert not world.is_good(partners | {one})


@given(worlds(smallest=2, largest=2))
def test_a_pair_that_fails_together_is_named_exactly(made: tuple[int, World]) -> None:
    count, world = made
    for left in world.integrate(count).left:
        if left.cause == "check":
            assert frozenset(numbers(left.partners) | {number_of(left.one)}) in world.bad


@given(worlds())
def test_checks_are_run_about_as_often_as_the_logarithm_says(made: tuple[int, World]) -> None:
    count, world = made
    outcome = world.integrate(count)
    culprits = sum(left.cause == "check" for left in outcome.left)
    steps = ceil(log2(count)) + 1
    conflicts = sum(left.cause == "conflict" for left in outcome.left)
    assert len(world.runs) <= (1 + culprits) * (1 + min(conflicts, 1)) + culprits * (
        steps + 1 + 3 * (steps + 1)
    )


def test_a_good_night_is_checked_once() -> None:
    world = World()
    assert inside(world.integrate(200)) == set(range(200))
    assert len(world.runs) == 1
    assert len(world.runs[0]) == 200


def test_one_culprit_among_two_hundred() -> None:
    world = World(bad=[frozenset({17, 140})])
    outcome = world.integrate(200)
    (left,) = outcome.left
    assert (number_of(left.one), left.partners, left.alone) == (140, ("t17/p/1",), False)
    assert len(world.runs) <= 20  # all; 8 to find it; alone; 8 to find with whom; the pair; the rest


def test_what_conflicts_with_a_culprit_goes_in() -> None:
    """The first one fails alone: what it kept out has nothing in its way any more."""
    world = World(conflicts=[frozenset({0, 1})], bad=[frozenset({0})])
    outcome = world.integrate(3)
    assert inside(outcome) == {1, 2}
    assert [left.alone for left in outcome.left] == [True]


def test_what_merges_only_after_a_later_one_goes_in_in_the_end() -> None:
    world = World()

    def put(tip: Tip, one: Candidate) -> Tip | Clash:
        early = one.task == "t0" and all(member.task != "t2" for member in tip.members)
        return Clash(("file",)) if early else world.put(tip, one)

    wanted = [candidate(number) for number in range(3)]
    outcome = integrate(Tip("base", "base"), wanted, put, world.passes)
    assert [one.task for one in outcome.tip.members] == ["t1", "t2", "t0"]
    assert outcome.left == ()


def test_what_could_not_be_tried_is_said() -> None:
    world = World()

    def put(tip: Tip, one: Candidate) -> Tip | Clash:
        return Clash(error="git failed") if one.task == "t1" else world.put(tip, one)

    wanted = [candidate(number) for number in range(3)]
    outcome = integrate(Tip("base", "base"), wanted, put, world.passes)
    assert inside(outcome) == {0, 2}
    assert [(left.cause, left.error) for left in outcome.left] == [("error", "git failed")]


def test_the_checks_of_all_that_is_in_are_asked_once_each() -> None:
    tip = Tip("c", "t", (candidate(0), candidate(1, asks=()), candidate(2, asks=("t0", "t2"))))
    assert tip.tasks() == ("t0", "t2")


# -- the order


def names(found: Sequence[Candidate]) -> list[str]:
    return [one.task for one in found]


def test_priority_then_size_then_conflicts_then_the_plan() -> None:
    wanted = [
        candidate(0, size=5),
        candidate(1, size=5),
        candidate(2, size=9, priority="high"),
        candidate(3, priority="low", size=1),
        candidate(4),
        candidate(5, size=5),
    ]
    assert names(ordered(wanted, {"t0/p/1": 2, "t1/p/1": 1})) == ["t2", "t5", "t1", "t0", "t4", "t3"]


def test_what_another_holds_stands_before_it() -> None:
    wanted = [
        candidate(0, size=90),
        candidate(1, size=50, holds=frozenset({"t0/p/1"})),
        candidate(2, size=1, holds=frozenset({"t1/p/1", "t0/p/1"})),
        candidate(3, size=2),
    ]
    assert names(ordered(wanted, {})) == ["t0", "t1", "t2", "t3"]


@given(st.permutations(range(8)), st.lists(st.integers(0, 3), min_size=8, max_size=8))
def test_the_order_is_the_same_whatever_it_is_given_in_but_for_equals(
    places: Sequence[int], sizes: Sequence[int]
) -> None:
    wanted = [candidate(number, size=sizes[number] * 100 + number) for number in range(8)]
    assert ordered([wanted[place] for place in places], {}) == ordered(wanted, {})


def test_how_each_is_in_is_told() -> None:
    first = candidate(0)
    second = candidate(1, holds=frozenset({"t0/p/1"}))
    third = candidate(2)
    line = (
        Tip("b", "b"),
        Tip("c", "c", (second,)),
        Tip("c", "c", (second, first)),
        Tip("c", "c", (second, first, third)),
    )
    how = [(one.task, how) for one, how in Outcome(line, ()).how()]
    assert how == [("t1", "merged"), ("t0", "held"), ("t2", "same")]
