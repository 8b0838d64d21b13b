"""Books and budgets: whatever comes in whatever order, a cap is overshot by one request at most."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.gateway.booking.books import Amount, Books, books_of
from runner.gateway.grants import Account
from runner.tasks.plan import Budget, Caps

DAY = "2026-01-02"


def account(name: str = "t/p/1", *, scripted: bool = False, **caps: Caps) -> Account:
    task, profile, _ = name.split("/")
    return Account(
        run="r", task=task, profile=profile, attempt=name, scripted=scripted, budget=Budget(**caps)
    )


def tokens(count: int) -> Amount:
    return Amount(tokens=count, requests=1)


NAMES = ["a/p/1", "a/q/1", "b/p/1", "b/p/2"]
REQUESTS = st.lists(
    st.tuples(
        st.sampled_from(NAMES),
        st.integers(1, 50),  # at most
        st.floats(0, 1),  # of which it takes
        st.integers(0, 5),  # how many others come before its answer
    ),
    max_size=60,
)


@given(REQUESTS, st.integers(0, 200), st.sampled_from(["attempt", "task", "profile", "run", "day"]))
def test_a_cap_is_overshot_by_one_request_at_most_and_nobody_waits_for_ever(
    requests: list[tuple[str, int, float, int]], cap: int, kind: str
) -> None:
    books, done = Books(), 0
    flying: list[tuple[Account, str, Amount, Amount]] = []
    budget = Budget.model_validate({kind: {"tokens": cap}})
    everyone = {name: account(name).model_copy(update={"budget": budget}) for name in NAMES}
    for name, most, share, wait in requests:
        who = everyone[name]
        while books.refusal(who, DAY) is None and books.must_wait(who, DAY, tokens(most)):
            assert flying, "it waits for something"
            books.settle(*flying.pop(0))
        if books.refusal(who, DAY) is None:
            books.reserve(who, DAY, tokens(most))
            flying.append((who, DAY, tokens(most), tokens(round(most * share))))
            done += 1
        while len(flying) > wait:
            books.settle(*flying.pop(0))
    for last in flying:
        books.settle(*last)
    for book, spent in books.spent.items():
        if book[0] == kind:
            assert spent.tokens <= cap + 50
    assert all(left == Amount() for left in books.reserved.values())
    assert sum(spent.requests for book, spent in books.spent.items() if book[0] == "run") == done


@pytest.mark.parametrize(
    ("caps", "spent", "refused"),
    [
        (Caps(usd=1), Amount(usd=0.99), False),
        (Caps(usd=1), Amount(usd=1), True),
        (Caps(tokens=10), Amount(tokens=10), True),
        (Caps(requests=2), Amount(requests=1), False),
        (Caps(requests=2), Amount(requests=2), True),
        (Caps(usd=0), Amount(), True),
        (Caps(), Amount(usd=1e9, tokens=10**12, requests=10**6), False),
    ],
)
def test_what_is_spent(caps: Caps, spent: Amount, refused: bool) -> None:
    books, who = Books(), account(run=caps)
    books.reserve(who, DAY, spent)
    books.settle(who, DAY, spent, spent)
    assert (books.refusal(who, DAY) == "run") is refused


@pytest.mark.parametrize(
    ("caps", "spent", "over"),
    [
        (Caps(usd=1), Amount(usd=1.25), Caps(usd=0.25)),
        (Caps(usd=1), Amount(usd=1), Caps()),
        (Caps(tokens=10, requests=5), Amount(tokens=12, requests=5), Caps(tokens=2)),
        (Caps(requests=1), Amount(usd=9, tokens=9, requests=3), Caps(requests=2)),
        (Caps(), Amount(usd=9, tokens=9, requests=3), Caps()),
    ],
)
def test_by_how_much_a_cap_is_overshot(caps: Caps, spent: Amount, over: Caps) -> None:
    assert spent.over(caps) == over


def test_a_large_request_goes_alone_and_small_ones_go_beside_each_other() -> None:
    books, who = Books(), account(run=Caps(tokens=100))
    assert not books.must_wait(who, DAY, tokens(1000)), "alone it may go, whatever it may cost"
    books.reserve(who, DAY, tokens(40))
    assert not books.must_wait(who, DAY, tokens(60))
    assert books.must_wait(who, DAY, tokens(61))


def test_what_a_script_invents_is_no_money_of_the_day() -> None:
    assert "day" not in books_of(account(scripted=True), DAY)
    books, who = Books(), account(scripted=True, day=Caps(tokens=1))
    books.reserve(who, DAY, tokens(5))
    books.settle(who, DAY, tokens(5), tokens(5))
    assert books.refusal(who, DAY) is None
