"""What tokens cost, by the user's own prices or a kept price library.

The library knows prices as of its release, and asks nobody.
Imported on first use: reading its tables takes most of a second.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from runner.gateway.grants import Tokens
from runner.tasks.plan import Price

if TYPE_CHECKING:
    from genai_prices.types import MatchLogic, ModelInfo

Terms = tuple[tuple[str, str], ...]
"""What a request says of how it is to be served: `(("service_tier", "priority"),)`."""

TERMS = ("service_tier", "speed")
"""The keys of a request that change its price. Source: the price library's variants of November 2026."""

MAX_INPUT = 1_000_000
"""Tokens: beyond the last of the steps at which long inputs cost more."""

_KINDS = ("input", "cache_write", "hour_write")
"""The ways in which input can be counted that may be the dearest one."""

NONE: Mapping[str, Price] = MappingProxyType({})

_VERSION = re.compile(
    r"([-@](latest|preview|exp|\d{3}|\d{2}-\d{2}|\d{2}-\d{4}|\d{4}-\d{2}-\d{2}|\d{8}))+$", re.ASCII
)
"""How providers tell the versions of one model apart: all are sold at the price of the name before it."""

_SOLD_OTHERWISE = ("output_audio_mtok", "output_image_mtok", "output_video_mtok")
"""A model with such a price answers in more than text, and its tokens are not all of one price."""


def usd(
    dialect: str, model: str, tokens: Tokens, own: Mapping[str, Price] = NONE, terms: Terms = ()
) -> float | None:
    """US dollars for tokens of a model; None where its price is not known.

    Args:
        dialect: Whose model it is: the provider that speaks so.
        model: The provider's name for it.
        tokens: Of which `input` leaves out what was read from or written to a cache.
        own: The user's own prices, by model, which go before those that are known.
        terms: What a request asked for that has a price of its own, by the provider's words.
    """
    said = _own(model, own)
    if said is not None:
        return _by(said, tokens)
    if not _is_listed(dialect, model):
        return None
    from genai_prices import Usage, calc_price  # noqa: PLC0415 - see above

    usage = Usage(
        input_tokens=tokens.input + tokens.cache_read + tokens.cache_write,
        cache_read_tokens=tokens.cache_read,
        cache_write_tokens=tokens.cache_write,
        cache_write_1h_tokens=min(tokens.hour_write, tokens.cache_write),
        output_tokens=tokens.output,
    )
    price = calc_price(usage, model, provider_id=_seller(dialect), price_context=dict(terms))
    return float(price.total_price)


def most_usd(
    dialect: str, model: str, tokens: Tokens, own: Mapping[str, Price] = NONE, terms: Terms = ()
) -> float | None:
    """The most that so many tokens can cost, whether input is read, cached or both; None if unknown."""
    whole = tokens.input + tokens.cache_read + tokens.cache_write
    kinds = _dearest(dialect, model, terms) if _own(model, own) is None else _KINDS
    costs = [usd(dialect, model, _counted(whole, tokens.output, kind), own, terms) for kind in kinds]
    return max((cost for cost in costs if cost is not None), default=None)


def _counted(whole: int, output: int, kind: str) -> Tokens:
    """All input counted in one way."""
    hour = {"hour_write": whole} if kind == "hour_write" else {}
    return Tokens(**{"cache_write" if hour else kind: whole, "output": output}, **hour)


@lru_cache(4096)
def _dearest(dialect: str, model: str, terms: Terms) -> tuple[str, ...]:
    """The ways of counting input in which a little of it, or very much, costs most: asking takes its time."""
    found = {}
    for size in (1000, MAX_INPUT):
        costs = {kind: usd(dialect, model, _counted(size, 0, kind), NONE, terms) for kind in _KINDS}
        found[max(_KINDS, key=lambda kind: costs[kind] or 0.0)] = size
    return tuple(found)


def is_known(dialect: str, model: str, own: Mapping[str, Price] = NONE) -> bool:
    """Whether the price of a model is known: of this very name, but for its version.

    The library is content with a name that begins like one it knows, or holds it. Boxes choose the names
    that are asked about, so anything else behind them makes a name unknown.
    """
    return _own(model, own) is not None or _is_listed(dialect, model)


def _own(model: str, own: Mapping[str, Price]) -> Price | None:
    return own.get(model) or own.get(_VERSION.sub("", model)) if own else None


def _by(price: Price, tokens: Tokens) -> float:
    read, write = (price.input if one is None else one for one in (price.cache_read, price.cache_write))
    millionths = (
        tokens.input * price.input
        + tokens.output * price.output
        + tokens.cache_read * read
        + tokens.cache_write * write
    )
    return millionths / 1e6


def _seller(dialect: str) -> str:
    """What the library calls the provider whose dialect it is."""
    return {"gemini": "google"}.get(dialect, dialect)


@lru_cache(4096)
def _is_listed(dialect: str, model: str) -> bool:
    from genai_prices import Usage, calc_price  # noqa: PLC0415 - see above

    try:
        found = calc_price(Usage(input_tokens=1, output_tokens=1), model, provider_id=_seller(dialect))
    except LookupError:
        return False
    price = vars(found.model_price)
    sold = all(price.get(key) is not None for key in ("input_mtok", "output_mtok"))
    otherwise = any(price.get(key) is not None for key in _SOLD_OTHERWISE) or "audio" in found.model.id
    return sold and not otherwise and _is_named(model.lower(), found.model)


def terms_of(asked: Mapping[str, Any]) -> Terms:
    """What a request asks for that has a price of its own."""
    return tuple((key, said) for key in TERMS if isinstance(said := asked.get(key), str) and len(said) < 40)


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
