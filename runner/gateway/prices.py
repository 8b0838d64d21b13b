"""What tokens cost, by a kept price library. It knows prices as of its release, and asks nobody.

Imported on first use: reading its tables takes most of a second.
"""

from __future__ import annotations

from functools import cache

from runner.gateway.grants import Tokens


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
    """Whether the price of a model is known."""
    from genai_prices import Usage, calc_price  # noqa: PLC0415 - see above

    try:
        calc_price(Usage(input_tokens=1, output_tokens=1), model, provider_id=dialect)
    except LookupError:
        return False
    return True
