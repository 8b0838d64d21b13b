"""Nothing that is shown can act on a terminal or a page."""

from __future__ import annotations

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from runner.views.inert import block, inert, line, markdown


@given(st.text(max_size=300))
def test_no_active_character_is_left(text: str) -> None:
    for shown in (inert(text), line(text), markdown(text)):
        assert all(unicodedata.category(c) not in {"Cc", "Cf", "Cs", "Zl", "Zp"} for c in shown)
    assert all(unicodedata.category(c) not in {"Cf", "Cs", "Zl", "Zp"} for c in block(text))
    assert "\x1b" not in block(text)


@given(st.text(alphabet=st.characters(categories=["L", "N", "P"]), max_size=100))
def test_plain_text_stays_as_it_is(text: str) -> None:
    assert inert(text) == text


def test_known_attacks() -> None:
    assert inert("\x1b]52;c;Zm9v\x07") == "\\x1b]52;c;Zm9v\\x07"
    assert inert("a\u202eb") == "a\\u202eb"
    assert "\r" not in line("ok\rFAKE")
    assert markdown("<script>|`x`") == "\\<script\\>\\|\\`x\\`"


def test_long_text_is_shortened() -> None:
    assert len(inert("x" * 10_000, most=100)) == 100
    assert block("x\n" * 100, most=10).endswith("cut here")
