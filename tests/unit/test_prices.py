"""Prices: of names that the library knows, and of no name that only looks like one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.gateway.booking import prices
from runner.gateway.grants import Tokens
from runner.tasks.plan import Price

MILLION = 1_000_000
OWN = {
    "mine": Price(input=1, output=10),
    "claude-opus-5-5": Price(input=3, output=15, cache_read=0.15, cache_write=4),
}
KINDS = st.integers(0, 10**9)


@pytest.mark.parametrize(
    ("dialect", "model"),
    [
        ("anthropic", "claude-opus-5-5"),
        ("anthropic", "claude-opus-5-5-20260901"),
        ("anthropic", "claude-sonnet-4-20250514"),
        ("anthropic", "claude-3-haiku-20240307"),
        ("anthropic", "claude-3-7-sonnet-latest"),
        ("openai", "gpt-6-sol"),
        ("openai", "gpt-6-sol-2026-09-09"),
        ("openai", "gpt-5-codex"),
        ("gemini", "gemini-2.5-pro"),
        ("gemini", "gemini-2.5-pro-preview-05-06"),
    ],
)
def test_a_name_and_its_versions_are_known(dialect: str, model: str) -> None:
    assert prices.is_known(dialect, model)


@pytest.mark.parametrize(
    ("dialect", "model"),
    [
        ("anthropic", ""),
        ("anthropic", "claude"),
        ("anthropic", "claude-3-haiku-but-really-opus"),
        ("anthropic", "claude-3-haiku-20240307\n"),
        ("anthropic", "claude-3-haiku-٢٠٢٤٠٣٠٧"),
        ("anthropic", "x-claude-v2-large"),
        ("anthropic", "claude-3-haiku/../opus"),
        ("anthropic", "gpt-6-sol"),
        ("openai", "my-moderation-model"),
        ("gemini", "my-gemini-1.5-pro"),
        ("openai", "gpt-5-nano-and-more"),
        ("openai", "text-embedding-3-small"),
        ("openai", "gpt-4o-audio-preview"),
    ],
)
def test_a_name_that_only_looks_like_one_is_not(dialect: str, model: str) -> None:
    assert not prices.is_known(dialect, model)


@pytest.mark.parametrize(
    ("model", "tokens", "dollars"),
    [
        ("mine", Tokens(input=MILLION), 1),
        ("mine", Tokens(output=MILLION), 10),
        ("mine", Tokens(cache_read=MILLION, cache_write=MILLION), 2),  # as input, where nothing is said
        ("claude-opus-5-5", Tokens(input=MILLION, output=MILLION), 18),
        ("claude-opus-5-5-20260901", Tokens(cache_read=MILLION, cache_write=MILLION), 4.15),
    ],
)
def test_the_users_own_prices_go_before_the_librarys(model: str, tokens: Tokens, dollars: float) -> None:
    assert prices.is_known("anthropic", model, OWN)
    assert prices.usd("anthropic", model, tokens, OWN) == pytest.approx(dollars)


def test_a_price_of_ones_own_is_for_that_model_alone() -> None:
    assert prices.usd("anthropic", "mine-2", Tokens(input=1), OWN) is None
    assert prices.usd("anthropic", "claude-haiku-5-5", Tokens(input=1000), OWN) == prices.usd(
        "anthropic", "claude-haiku-5-5", Tokens(input=1000)
    )


def test_what_is_to_stay_in_the_cache_for_an_hour_costs_more() -> None:
    short = prices.usd("anthropic", "claude-opus-5-5", Tokens(cache_write=MILLION))
    long = prices.usd("anthropic", "claude-opus-5-5", Tokens(cache_write=MILLION, hour_write=MILLION))
    assert (short, long) == (5, 8)


@pytest.mark.parametrize(
    ("dialect", "model", "said"),
    [
        ("anthropic", "claude-opus-5-5", {"speed": "fast"}),
        ("openai", "gpt-6-sol", {"service_tier": "priority"}),
    ],
)
def test_a_request_that_asks_for_more_is_priced_as_more(
    dialect: str, model: str, said: dict[str, object]
) -> None:
    terms = prices.terms_of(said)
    usual = prices.usd(dialect, model, Tokens(input=MILLION))
    asked = prices.usd(dialect, model, Tokens(input=MILLION), terms=terms)
    assert usual is not None
    assert asked == pytest.approx(2 * usual)


@pytest.mark.parametrize("said", [{"speed": 5, "service_tier": ["x"]}, {"speed": "x" * 50}, {}])
def test_terms_that_are_none(said: dict[str, object]) -> None:
    assert prices.terms_of(said) == ()


@given(
    st.tuples(KINDS, KINDS, KINDS, KINDS),
    st.sampled_from(["claude-opus-5-5", "claude-haiku-5-5", "mine", "gpt-6-sol", "gpt-5.5", "o4-mini"]),
    st.booleans(),
)
def test_nothing_costs_more_than_its_bound(kinds: tuple[int, int, int, int], model: str, own: bool) -> None:
    """However the input of a request turns out to be counted."""
    read, written, plain, output = kinds
    said = OWN if own or model == "mine" else {}
    dialect = "openai" if model[0] in "go" else "anthropic"
    cost = prices.usd(
        dialect, model, Tokens(input=plain, output=output, cache_read=read, cache_write=written), said
    )
    most = prices.most_usd(dialect, model, Tokens(input=read + written + plain, output=output), said)
    assert cost is not None
    assert most is not None
    assert cost <= most * (1 + 1e-9)
