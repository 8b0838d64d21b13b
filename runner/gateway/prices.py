"""What tokens cost, by a kept price library. It knows prices as of its release, and asks nobody.

Imported on first use: reading its tables takes most of a second.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING

from runner.gateway.grants import Tokens

if TYPE_CHECKING:
    from genai_prices.types import MatchLogic, ModelInfo

_VERSION = re.compile(
    r"([-@](latest|preview|exp|\d{3}|\d{2}-\d{2}|\d{2}-\d{4}|\d{4}-\d{2}-\d{2}|\d{8}))+$", re.ASCII
)
"""How providers tell the versions of one model apart: all are sold at the price of the name before it."""

_SOLD_OTHERWISE = ("output_audio_mtok", "output_image_mtok", "output_video_mtok")
"""A model with such a price answers in more than text, and its tokens are not all of one price."""


def usd(dialect: str, model: str, tokens: Tokens) -> float | None:
    """US dollars for tokens of a model; None where its price is not known.

    Args:
        dialect: Whose model it is: the provider that speaks so.
        model: The provider's name for it.
        tokens: Of which `input` leaves out what was read from or written to a cache.
    """
    if not is_known(dialect, model):
        return None
    from genai_prices import Usage, calc_price  # noqa: PLC0415 - see above

    usage = Usage(
        input_tokens=tokens.input + tokens.cache_read + tokens.cache_write,
        cache_read_tokens=tokens.cache_read,
        cache_write_tokens=tokens.cache_write,
        output_tokens=tokens.output,
    )
    return float(calc_price(usage, model, provider_id=dialect).total_price)


@cache
def is_known(dialect: str, model: str) -> bool:
    """Whether the price of a model is known: of this very name, but for its version.

    The library is content with a name that begins like one it knows, or holds it. Boxes choose the names
    that are asked about, so anything else behind them makes a name unknown.
    """
    from genai_prices import Usage, calc_price  # noqa: PLC0415 - see above

    try:
        found = calc_price(Usage(input_tokens=1, output_tokens=1), model, provider_id=dialect)
    except LookupError:
        return False
    price = vars(found.model_price)
    sold = all(price.get(key) is not None for key in ("input_mtok", "output_mtok"))
    otherwise = any(price.get(key) is not None for key in _SOLD_OTHERWISE) or "audio" in found.model.id
    return sold and not otherwise and _is_named(model.lower(), found.model)


def _is_named(name: str, model: ModelInfo) -> bool:
    names = {model.id, *_names(model.match)}
    if name in names or _VERSION.sub("", name) in names:
        return True
    return any(re.fullmatch(pattern, name) for pattern in _patterns(model.match))


def _parts(match: MatchLogic) -> Iterator[MatchLogic]:
    from genai_prices.types import ClauseAnd, ClauseOr  # noqa: PLC0415 - see above

    if isinstance(match, ClauseOr | ClauseAnd):
        for part in match.or_ if isinstance(match, ClauseOr) else match.and_:
            yield from _parts(part)
    else:
        yield match


def _names(match: MatchLogic) -> Iterator[str]:
    """The names, and beginnings and parts of names, that the library knows a model by."""
    for part in _parts(match):
        kinds = ("equals", "starts_with", "ends_with", "contains")
        yield from (name for kind in kinds if isinstance(name := getattr(part, kind, None), str))


def _patterns(match: MatchLogic) -> Iterator[str]:
    for part in _parts(match):
        pattern = getattr(part, "regex", None)
        if pattern is not None:
            yield pattern.pattern if isinstance(pattern, re.Pattern) else str(pattern)
