"""Profiles compared: the exact test, the intervals, the early end, and what is said of too little data."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from dataclasses import replace
from itertools import product
from math import isclose
from statistics import fmean

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bench.comparing import APART, AVERAGE, NONE, SIZES, simulate
from runner.compare import chance, early
from runner.compare.blocks import Paired, paired
from runner.compare.comparing import compare
from runner.compare.early import Watched, course, decided, is_look
from runner.compare.power import World, exact_ps, foresee
from runner.compare.rates import pass_at, rate_interval
from runner.compare.saying import least_tasks, power_words
from runner.compare.scored import Scored
from runner.compare.spread import difference_interval
from tests.conftest import FULL

TWO = [("a", "1" * 16), ("b", "2" * 16)]


def row(task: str, profile: str, n: int = 1, verdict: str = "accepted") -> Scored:
    """An attempt of a minute, 1,000 tokens and 10 cents."""
    name = f"{task}/{profile}/{n}"
    return Scored(task, profile, n, verdict, verdict == "accepted", 60.0, 1000, 0.1, name)


def night(tasks: int, repeats: int = 1, **verdicts: str) -> list[Scored]:
    """Every profile does the same everywhere."""
    return [
        row(f"t{task}", profile, n, verdict)
        for n in range(1, repeats + 1)
        for task in range(tasks)
        for profile, verdict in verdicts.items()
    ]


def outcomes(least: int = 1, most: int = 8) -> st.SearchStrategy[list[Paired]]:
    """Tasks with one to three repeats each."""
    sides = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=3)
    task = sides.map(lambda both: Paired("t", tuple(a for a, _ in both), tuple(b for _, b in both)))
    return st.lists(task, min_size=least, max_size=most)


# -- the exact test


@given(outcomes())
def test_the_exact_test_counts_every_choice_of_signs(pairs: list[Paired]) -> None:
    each = [one.difference for one in pairs]
    sums = [
        sum(s * d for s, d in zip(signs, each, strict=True)) for signs in product((1, -1), repeat=len(each))
    ]
    expected = fmean(abs(total) >= abs(sum(each)) - 1e-9 for total in sums)
    assert isclose(chance.exact_p(pairs, 0), expected)


@given(outcomes(most=40), st.randoms(use_true_random=False))
def test_the_exact_test_knows_neither_order_nor_who_is_first(pairs: list[Paired], random: object) -> None:
    mixed = sorted(pairs, key=lambda _: random.random())  # type: ignore[attr-defined]
    turned = [Paired(one.task, one.b, one.a) for one in mixed]
    assert isclose(chance.exact_p(pairs, 0), chance.exact_p(turned, 0))


def test_with_one_repeat_it_is_mcnemar_s() -> None:
    pairs = [Paired(str(n), (n < 9,), (n >= 9,)) for n in range(12)] + [Paired("same", (True,), (True,))]
    assert isclose(chance.exact_p(pairs, 0), stats.binomtest(9, 12).pvalue)


def test_where_there_are_too_many_sums_they_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = [Paired(str(n), (True,) * 3, (n % 3 == 0,) * 3) for n in range(8)] + [
        Paired("x", (False,), (True,))
    ]
    exact = chance.exact_p(pairs, 0)
    monkeypatch.setattr(chance, "MOST_STEPS", 0)
    assert abs(chance.exact_p(pairs, 1) - exact) < 0.01


@given(st.lists(st.lists(st.integers(-3, 3), min_size=9, max_size=9), min_size=1, max_size=5))
def test_many_tests_at_once_are_the_same_test(sums: list[list[int]]) -> None:
    def side(difference: int) -> tuple[bool, ...]:
        return (True,) * max(difference, 0) + (False,) * (3 - max(difference, 0))

    single = [chance.exact_p([Paired("t", side(d), side(-d)) for d in night], 0) for night in sums]
    assert np.allclose(exact_ps(np.array(sums)), single)


def test_several_tests_are_corrected_as_holm_says() -> None:
    assert chance.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert chance.holm([0.6, 0.9]) == [1.0, 1.0]


# -- rates and intervals


@given(st.lists(st.lists(st.booleans(), min_size=1, max_size=6), min_size=1, max_size=5))
def test_pass_at_k_is_the_share_of_choices_that_hold_an_accepted_one(tasks: list[list[bool]]) -> None:
    for k, found in pass_at(tasks):
        shares = [
            fmean(any(choice) for choice in product(*[one] * k)) if k == 1 else _without_return(one, k)
            for one in tasks
            if len(one) >= k
        ]
        assert isclose(found, fmean(shares))


def _without_return(one: list[bool], k: int) -> float:
    choices = [places for places in product(range(len(one)), repeat=k) if len(set(places)) == k]
    return fmean(any(one[place] for place in places) for places in choices)


def test_a_rate_of_single_attempts_has_the_exact_interval() -> None:
    found = rate_interval([[True]] * 7 + [[False]] * 3, 0.05)
    exact = stats.binomtest(7, 10).proportion_ci()
    few = rate_interval([[True, True]] * 7 + [[False, False]] * 3, 0.05)
    assert found == pytest.approx((exact.low, exact.high))
    assert few == pytest.approx(found), "attempts that always agree say no more than one of them"


@given(st.lists(st.lists(st.booleans(), min_size=1, max_size=4), min_size=2, max_size=30))
def test_intervals_hold_what_was_seen(tasks: list[list[bool]]) -> None:
    rate = sum(map(sum, tasks)) / sum(map(len, tasks))
    low, high = rate_interval(tasks, 0.05) or (0, 1)
    assert 0 <= low <= rate <= high <= 1
    differences = [2 * fmean(one) - 1 for one in tasks]
    low, high = difference_interval(differences, 2, 0.05, 0) or (-1, 1)
    assert -1 <= low <= fmean(differences) <= high <= 1


def test_few_tasks_that_agree_are_no_certainty() -> None:
    assert rate_interval([[True, True]], 0.05) is None
    assert difference_interval([0.0, 0.0], 1, 0.05, 0) is None
    low, high = difference_interval([0.0] * 5, 1, 0.05, 0) or (0, 0)
    assert low < -0.4
    assert high > 0.4


def test_from_fifty_tasks_on_it_reaches_as_far_as_the_bootstrap() -> None:
    skewed = [0.0] * 57 + [1.0] * 3
    low, high = difference_interval(skewed, 1, 0.05, 0) or (0, 0)
    found = stats.bootstrap((skewed,), np.mean, n_resamples=2000, method="BCa", rng=0).confidence_interval
    assert low <= found.low
    assert high >= found.high


# -- the comparison


def test_what_counts_and_what_does_not() -> None:
    rows = [
        *night(8, 2, a="accepted", b="rejected"),
        row("t9", "a"),
        row("t9", "b", verdict="infrastructure"),
    ]
    found = compare(TWO, rows, {"t0/a/1": "unfair"})
    a, b = found.profiles
    assert (a.attempts, a.scored, b.attempts, b.scored, b.infrastructure) == (17, 16, 17, 16, 1)
    assert {one.attempt: one.why for one in found.excluded}.keys() == {"t0/a/1", "t9/b/1"}
    assert found.pairs[0].tasks == 8
    left = paired([one for one in rows if one.attempt != "t0/a/1" and one.task != "t9"], "a", "b")
    assert {one.task: len(one.a) for one in left} == {f"t{n}": 1 if n == 0 else 2 for n in range(8)}
    assert found.notes[-1].startswith("2 attempts that count have a counterpart that does not")
    assert found.better == ("a", "b")
    assert found.pairs[0].words.startswith("a is accepted more often than b, by 100 points")


def test_what_is_unknown_stays_so() -> None:
    rows = [*night(2, a="accepted"), replace(row("t3", "a"), usd=None, tokens=None, seconds=None)]
    (side,) = compare(TWO[:1], rows).profiles
    assert (side.usd, side.usd_per_accepted, side.tokens, side.minutes_per_accepted) == (None,) * 4
    assert side.minutes_median == 1.0
    (nothing,) = compare(TWO[:1], night(3, a="rejected")).profiles
    assert (nothing.usd_per_accepted, nothing.rate, nothing.tokens) == (None, 0.0, 3000)


def test_with_too_little_data_nothing_is_ranked() -> None:
    found = compare(TWO, night(5, 3, a="accepted", b="rejected"))
    assert (found.better, found.pairs[0].decided) == ((), False)
    assert found.pairs[0].words == (
        "too little data: with 5 tasks the test could at best reach p = 0.062, where 0.05 is wanted;"
        " from 6 tasks on it can find a difference"
    )
    assert compare(TWO, night(6, a="accepted", b="rejected")).better == ("a", "b")
    assert "nothing can be said" in compare(TWO, night(6, a="accepted")).pairs[0].words
    assert "no difference is shown" in compare(TWO, night(9, a="accepted", b="accepted")).pairs[0].words


def test_three_profiles_are_ranked_only_if_each_two_differ() -> None:
    three = [*TWO, ("c", "3" * 16)]
    found = compare(three, night(9, a="accepted", b="rejected", c="rejected"))
    assert [pair.decided for pair in found.pairs] == [True, True, False]
    assert found.better == ()
    assert found.notes == ("a is accepted more often than each of the others; these are not ranked",)


# -- ending early


def _watched(tasks: int, repeats: int, reached: int) -> Watched:
    return Watched(tuple((f"t{t}", n) for n in range(1, repeats + 1) for t in range(tasks)), reached)


def test_a_plain_difference_is_decided_long_before_the_end() -> None:
    rows = night(20, 3, a="accepted", b="rejected")
    crossed = course(_watched(20, 3, 60), [1] * 60, 0.05).crossed
    assert crossed is not None
    assert 6 < crossed < 20
    assert decided(_watched(20, 3, crossed - 1), rows, ("b", "a"), 0.05) is None
    assert decided(_watched(20, 3, crossed), rows, ("b", "a"), 0.05) == ("a", "b")
    assert decided(_watched(20, 3, 60), night(20, 3, a="accepted", b="accepted"), ("a", "b"), 0.05) is None


@given(st.lists(st.sampled_from([None, -1, 0, 1]), min_size=24, max_size=24), st.integers(0, 24))
def test_what_is_decided_stays_so_whatever_comes_later(steps: list[int | None], reached: int) -> None:
    now = course(_watched(12, 2, reached), steps[:reached], 0.05)
    later = course(_watched(12, 2, 24), steps, 0.05)
    if now.crossed is not None:
        assert (later.crossed, later.p, later.ahead) == (now.crossed, now.p, now.ahead)
        assert now.p <= 0.05
    assert later.crossed is None or later.crossed > reached or later.crossed == now.crossed


@given(st.lists(st.sampled_from([-1, 0, 1]), min_size=8, max_size=8))
def test_over_all_its_courses_it_errs_no_more_than_it_may(steps: list[int]) -> None:
    """Whatever the sizes of the differences: of all choices of signs, at most a share of alpha is decided."""
    watched = Watched(tuple((f"t{place % 4}", place // 4) for place in range(8)), 8)
    signs = list(product((1, -1), repeat=4))
    turned = [[sign[place % 4] * step for place, step in enumerate(steps)] for sign in signs]
    assert fmean(course(watched, one, 0.3).crossed is not None for one in turned) <= 0.3


def test_it_is_looked_after_each_block_and_of_many_blocks_at_two_hundred_shares() -> None:
    assert all(is_look(_watched(20, 3, n), n - 1) for n in range(1, 61))
    assert sum(is_look(_watched(500, 4, n), n - 1) for n in range(1, 2001)) == 200


# -- what is foreseen


def test_more_tasks_or_repeats_show_smaller_differences() -> None:
    seen = [foresee(tasks, repeats).points for tasks, repeats in ((10, 1), (20, 1), (20, 3), (80, 3))]
    assert seen == sorted(seen, key=lambda points: -(points or 0))
    assert power_words(foresee(20, 3), 0.05) == (
        f"with 20 tasks × 3 repeats a difference of {foresee(20, 3).points} points will be seen 4 times in 5"
    )


def test_with_too_few_tasks_no_difference_can_be_seen() -> None:
    assert power_words(foresee(5, 10), 0.05) == (
        "with 5 tasks × 10 repeats no difference can be seen: the test could at best reach p = 0.062,"
        " where 0.05 is wanted"
    )
    assert least_tasks(0.05, 1) == 6
    assert foresee(7, 1, profiles=4).points is None, "six pairs share the error"


def test_what_is_foreseen_comes_about() -> None:
    points = foresee(20, 3).points
    assert points is not None
    count = 1000 if FULL else 200
    assert abs(simulate(20, 3, World(points), count, 5).seen - 0.8) < 4 * (0.16 / count) ** 0.5 + 0.02


# -- with known truth


@pytest.mark.parametrize(("tasks", "repeats"), SIZES if FULL else SIZES[:4])
@pytest.mark.parametrize("world", [NONE, AVERAGE, APART], ids=["none", "average", "apart"])
def test_intervals_hold_the_truth_and_tests_err_no_more_than_they_say(
    tasks: int, repeats: int, world: World
) -> None:
    count = 1000 if FULL else 60
    error = 4 * (0.05 * 0.95 / count) ** 0.5
    found = simulate(tasks, repeats, world, count, seed=tasks + repeats)
    held = (found.rate, found.difference, found.early_rate, found.early_difference)
    assert min(held) >= 0.95 - error
    if world.points == 0:
        assert max(found.seen, found.early) <= 0.05 + error
    elif tasks >= 20 and repeats == 3:
        assert found.early > 0.5
        assert found.blocks < 0.9


def test_other_commands_don_t_wait_for_numeric_libraries() -> None:
    asks = "import sys, runner.cli; print([n for n in sys.modules if n in {'numpy', 'scipy'}])"
    told = subprocess.run([sys.executable, "-c", asks], check=True, capture_output=True, text=True)
    assert told.stdout.strip() == "[]"


def test_a_thousand_tasks_take_little_memory() -> None:
    """All courses of a comparison are kept while it runs."""
    early._signs.cache_clear()
    tracemalloc.start()
    try:
        signs = early._signs(1000, early.COURSES)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 1.1 * 1000 * early.COURSES, "a byte for each sign"
    assert set(np.unique(signs)) == {-1, 1}
    assert (signs[:, 0] == 1).all(), "the real one is the first"
    assert abs(signs[:, 1:].mean()) < 0.01
