"""Whether two names mean the same model. Pure.

A service may answer to an alias in the name of a dated release of the same model (`claude-opus-4-5` is
answered by `claude-opus-4-5-20251101`, `gpt-5.5` by `gpt-5.5-2026-03-01`); that is no other model. Which
release it is may still change in the night: that is drift, and found by comparing the names themselves.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_RELEASE = re.compile(r"(?:[-@](?:latest|preview|\d{8}|\d{4}-\d{2}-\d{2}|\d{3}|\d{2}-\d{2,4}))+$")
_VENDOR = re.compile(r"^(?:[a-z0-9.-]+/|models/|(?:[a-z]{2}\.)?anthropic\.)+")


def plain(name: str) -> str:
    """A model's name without who sells it, and without its release."""
    return _RELEASE.sub("", _VENDOR.sub("", name.strip().lower()))


def same_model(asked: str, named: str) -> bool:
    """Whether a reply's name is that of the model that was asked, or of a release of it.

    A short alias of a CLI's, like `opus`, is the model whose name holds that word.
    """
    wanted, given = plain(asked), plain(named)
    return wanted == given or (wanted.isalpha() and wanted in given.split("-"))


def unlike(asks: str, models: Mapping[str, int]) -> str:
    """The model that wrote most, where that is not the one that a profile names; empty where it is.

    Args:
        asks: The model that the profile names; empty for none.
        models: Tokens of output by the model that replies name.
    """
    told = {name: count for name, count in models.items() if name not in {"unknown", "others"}}
    if not asks or not sum(told.values()):
        return ""
    own = sum(count for name, count in told.items() if same_model(asks, name))
    most = max(told, key=lambda name: told[name])
    return "" if 2 * own >= sum(told.values()) or same_model(asks, most) else most
