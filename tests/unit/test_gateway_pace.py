"""Pace: whose turn it is, and when, by limits that are told, guessed or found out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.accounts import Prior
from runner.gateway.grants import Tokens, Window
from runner.gateway.pacing.pace import EACH, OTHERS, START, WEIGHTS, Lane, Shared, Ticket, family

SIZES = st.lists(st.integers(0, 50_000), min_size=1, max_size=12)


@given(
    st.dictionaries(
        st.sampled_from([f"box{n}" for n in range(8)]),
        st.tuples(st.sampled_from(sorted(WEIGHTS.values())), SIZES),
        min_size=2,
    )
)
def test_boxes_that_wait_get_their_share_whatever_they_ask(boxes: dict[str, tuple[float, list[int]]]) -> None:
    """Of two that wait all the time, neither is ahead by more than one request of each (fair queueing)."""
    lane = Lane(at_once=2.0)
    for box, (weight, sizes) in boxes.items():
        for size in sizes:
            lane.join(Ticket(box, size, 0, weight))
    got = dict.fromkeys(boxes, 0.0)
    left = {box: len(sizes) for box, (_, sizes) in boxes.items()}
    slack = {box: (EACH + max(sizes)) / weight for box, (weight, sizes) in boxes.items()}
    while (ticket := lane.next(1.0)) is not None:
        lane.ended(ticket, None, 1.0)
        got[ticket.box] += ticket.size / ticket.weight
        left[ticket.box] -= 1
        waiting = [box for box in boxes if left[box]]
        for one in waiting:
            for other in waiting:
                assert got[one] - got[other] <= slack[one] + slack[other] + 1e-6
    assert not any(left.values()), "everybody's turn comes"


def test_a_chatty_box_starves_nobody() -> None:
    lane = Lane(at_once=4.0)
    for _ in range(500):
        lane.join(Ticket("chatty", 1000, 0))
    for _ in range(8):  # it is well under way
        ticket = lane.next(0.0)
        if ticket is not None:
            lane.ended(ticket, None, 0.0)
    for number in range(40):
        lane.join(Ticket(f"box{number}", 1000, 0))
    served: list[str] = []
    while len(served) < 42:
        ticket = lane.next(1.0)
        assert ticket is not None
        served.append(ticket.box)
        lane.ended(ticket, None, 1.0)
    assert len(set(served)) == 41


def test_one_box_leaves_room_for_another() -> None:
    lane = Lane(at_once=8.0)
    for _ in range(20):
        lane.join(Ticket("chatty", 1, 0))
    while lane.next(0.0) is not None:
        pass
    assert lane.in_flight == 6
    lane.join(Ticket("other", 1, 0))
    assert lane.next(0.0) is not None


def test_what_is_told_is_kept_to() -> None:
    lane = Lane()
    first = Ticket("a", 10, 0)
    lane.join(first)
    assert lane.next(100.0) is first
    told = Window(name="requests", limit=60, remaining=2, resets_at=100.0 + 58)
    lane.answered(first, (told,), 100.0)
    for _ in range(5):
        lane.join(Ticket("a", 10, 0))
    sent = [ticket for _ in range(5) if (ticket := lane.next(100.0)) is not None]
    assert len(sent) == 2, "two were left"
    wakes = lane.wakes_at(100.0)
    assert wakes == pytest.approx(101.0), "and one comes back each second"
    assert lane.next(101.0) is not None
    assert lane.next(101.0) is None


def test_a_guess_holds_where_nothing_is_told() -> None:
    lane = Lane(Prior(requests=60, tokens=6000))
    for _ in range(5):
        lane.join(Ticket("a", 2000, 500))
    sent = [lane.next(1000.0), lane.next(1000.0), lane.next(1000.0)]
    assert sum(one is not None for one in sent) == 2
    assert lane.next(1000.0 + 15.1) is not None


def test_a_request_larger_than_the_limit_goes_alone() -> None:
    lane = Lane(Prior(tokens=1000))
    lane.join(Ticket("a", 50_000, 0))
    assert lane.next(0.0) is not None


def test_what_comes_from_a_cache_is_learned() -> None:
    lane = Lane()
    for _ in range(30):
        ticket = Ticket("a", 10_000, 0)
        lane.join(ticket)
        assert lane.next(0.0) is ticket
        lane.ended(ticket, Tokens(input=100, cache_read=9_900, output=50), 0.0)
    assert lane.share < 0.05
    assert lane.per_minute(0.0) == 30 * 10_050


@given(st.lists(st.sampled_from(["well", "away"]), max_size=200))
def test_requests_at_once_stay_in_bounds_and_recover(outcomes: list[str]) -> None:
    lane, now = Lane(), 0.0
    for outcome in [*outcomes, "away", *["well"] * 50]:
        ticket = Ticket("a", 1, 0, not_before=0.0)
        lane.join(ticket)
        now = max(now + 1, lane.wakes_at(now) or 0)
        assert lane.next(now) is ticket, "there is always room for one"
        if outcome == "away":
            lane.turned_away(ticket, None, now)
        else:
            lane.went_well()
        lane.ended(ticket, None, now)
        assert 1 <= lane.at_once <= 512


def test_a_storm_halves_once_and_not_for_each_that_was_sent_before() -> None:
    lane = Lane()
    sent = []
    for number in range(100):
        lane.join(Ticket(f"box{number}", 1, 0))
    while (ticket := lane.next(10.0)) is not None:
        sent.append(ticket)
    assert len(sent) == START
    for ticket in sent:
        lane.turned_away(ticket, None, 11.0)
    assert lane.at_once == START / 2


def test_an_account_bears_so_many_at_once_over_all_families() -> None:
    shared = Shared(at_once=3)
    lanes = [Lane(shared=shared), Lane(shared=shared)]
    for lane in lanes:
        for box in "abcd":
            lane.join(Ticket(box, 1, 0))
    sent = [lane.next(0.0) for lane in lanes for _ in range(4)]
    assert sum(one is not None for one in sent) == 3


@pytest.mark.parametrize(
    ("dialect", "model", "expected"),
    [
        ("anthropic", "claude-opus-5-5", "opus"),
        ("anthropic", "claude-3-5-haiku-20241022", "haiku"),
        ("anthropic", "some-model-20250101", "some-model"),
        ("openai", "gpt-5.5-2026-01-01", "gpt-5.5"),
        ("openai", "x" * 100, OTHERS),
        ("openai", "no name\n", OTHERS),
        ("openai", "", OTHERS),
    ],
)
def test_families(dialect: str, model: str, expected: str) -> None:
    assert family(dialect, model) == expected
