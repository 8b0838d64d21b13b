"""What an answer that broke off can have used: never less than what came, never more than was asked for."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.gateway.booking.reckoning import FASTEST, NOTICED_AFTER, reckoned
from runner.gateway.dialects.reading import text_in
from runner.gateway.grants import Tokens

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


@pytest.mark.parametrize("spaced", [True, False])
def test_the_text_in_an_event(spaced: bool) -> None:
    def size(event: object) -> int:
        return text_in(
            json.dumps(event, ensure_ascii=False, separators=None if spaced else (",", ":")).encode()
        )

    assert size({"type": "content_block_delta", "delta": {"type": "text_delta", "text": "aä"}}) == 3
    assert size({"type": "response.output_text.delta", "item_id": "msg_1", "delta": "abcd"}) == 4
    calls = [{"index": 0, "function": {"arguments": "{}"}}]
    assert size({"id": "x", "choices": [{"delta": {"content": "ab", "tool_calls": calls}}]}) == 4
    assert size({"delta": {"text": 'a"b'}}) == 4, "as it is escaped"
    assert size({"type": "ping", "text": "ab"}) == 0
    assert text_in(b"") == 0


@given(st.text(max_size=50), st.booleans())
def test_a_text_is_never_taken_for_shorter_than_it_is(text: str, ascii_only: bool) -> None:
    event = json.dumps({"delta": {"type": "text_delta", "text": text}}, ensure_ascii=ascii_only)
    assert text_in(event.encode("utf-8", "surrogatepass")) >= len(text.encode("utf-8", "surrogatepass"))
