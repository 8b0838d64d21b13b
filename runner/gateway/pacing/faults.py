"""Which answers of a service the agent need not see, and what it is told in the end: pure values."""

from __future__ import annotations

from runner.gateway.exchange import Fault
from runner.gateway.pacing.limits import Told
from runner.gateway.pacing.patience import Patience

OVERLOAD = frozenset((429, 502, 503, 504, 520, 521, 522, 523, 524, 529))
"""Statuses at which a service, or what stands before it, has too much to do; 52x are Cloudflare's."""


def fault_of(status: int, told: Told, who: str, said: str) -> Fault | None:
    """What is wrong with an answer that can be waited out; None for one that the agent gets.

    Args:
        status: Of the answer; 529 also for a stream that begins with an error.
        told: What it says of limits.
        who: Whose account was asked, in words.
        said: What it says itself, in words.
    """
    why = f"{who}: HTTP {status}, {said}"
    if status == 429 and told.spent:
        return None  # it wants money, and says so in words that the agent understands
    if status in OVERLOAD:
        return Fault("overload", why, told.retry_at)
    if status == 500:
        return Fault("overload", why, told.retry_at, failing=True)
    if status in (401, 403):
        return Fault("credential", why)
    return None


def limit_of(fault: Fault, patience: Patience) -> float:
    """Seconds for which such a fault is waited out."""
    if fault.failing:
        return patience.failing
    return {
        "overload": patience.overload,
        "unreachable": patience.unreachable,
        "credential": patience.credential,
    }[fault.kind]
