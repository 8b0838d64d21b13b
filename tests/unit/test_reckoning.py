"""What an answer that broke off can have used: never less than what came, never more than was asked for."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from runner.gateway.dialects.reading import text_in
from runner.gateway.grants import Tokens
from runner.gateway.reckoning import FASTEST, NOTICED_AFTER, reckoned

MOST = Tokens(input=1000, output=50_000)


@given(st.integers(0, 10**6), st.floats(0, 10**5), st.integers(0, 10**5), st.integers(0, 10**6))
def test_no_less_than_came_and_no_more_than_was_asked_for(
    produced: int, seconds: float, told: int, read: int
) -> None:
    used = reckoned(MOST, Tokens(input=7, cache_read=read, output=told), produced, seconds)
    assert used.output >= min(produced, MOST.output)
    assert used.output >= told, "a service that tells more than was asked for is believed"
    assert used.output <= max(told, MOST.output)
    assert (used.input, used.cache_read) == (7, read)


def test_what_told_nothing_counts_with_all_of_its_input() -> None:
    assert reckoned(MOST, Tokens(), 10, 0) == Tokens(input=1000, output=int(FASTEST * NOTICED_AFTER))
    assert reckoned(MOST, Tokens(), 10, 20).output == int(FASTEST * (20 + NOTICED_AFTER))


def test_the_text_in_an_event() -> None:
    assert text_in({"type": "content_block_delta", "delta": {"type": "text_delta", "text": "aä"}}) == 3
    assert text_in({"type": "response.output_text.delta", "item_id": "msg_1", "delta": "abcd"}) == 4
    calls = [{"index": 0, "function": {"arguments": "{}"}}]
    assert text_in({"id": "x", "choices": [{"delta": {"content": "ab", "tool_calls": calls}}]}) == 4
    assert text_in({"delta": [{"text": "\ud800"}], "usage": {}, "other": "text"}) == 3
    assert text_in({}) == 0
