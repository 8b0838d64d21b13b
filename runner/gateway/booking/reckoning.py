"""What an answer used that broke off before it could say so, as a pure value: all that it can have been."""

from __future__ import annotations

from runner.gateway.grants import Tokens

FASTEST = 500
"""Tokens of output in a second, of one answer: an assumption, well above what the large providers' models do.

It bounds what is never seen: thinking that is not shown, and what was on its way when the stream broke. What
is seen is bounded by its bytes, however fast it comes.
"""

NOTICED_AFTER = 2.0
"""Seconds for which a service may go on before it notices that nobody listens."""


def reckoned(most: Tokens, told: Tokens, produced: int, seconds: float) -> Tokens:
    """The tokens of a streamed answer that broke off, or that ended without saying what it used.

    Args:
        most: What the request could use at most.
        told: What the answer said until then.
        produced: Bytes of output that came; no token has less than one.
        seconds: How long it can have been at work; for several answers at once, that of all together.
    """
    can_have = max(produced, int((seconds + NOTICED_AFTER) * FASTEST))
    output = max(told.output, min(most.output, can_have))
    if told.input or told.cache_read or told.cache_write:
        return told.model_copy(update={"output": output})
    return Tokens(input=most.input, output=output)
