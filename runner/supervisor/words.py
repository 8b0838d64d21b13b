"""Words of others in what is written down."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator


def _writable(words: object) -> object:
    """Text as UTF-8 can hold it: what a box says may hold half of a surrogate pair."""
    return words.encode("utf-8", "replace").decode() if isinstance(words, str) else words


Words = Annotated[str, BeforeValidator(_writable)]
"""Words that may come from a box, a repository or an engine."""
