"""What may be spent, and what models cost, in a task file."""

from __future__ import annotations

from runner.tasks.fields import Tokens, Usd
from runner.tasks.part import Part


class CapsPart(Part):
    """What may be spent on models; what is reached first counts."""

    usd: Usd | None = None
    """US dollars."""
    tokens: Tokens | None = None
    """Tokens, like 40M."""
    requests: Tokens | None = None
    """Requests to a model, like 2k."""


class BudgetPart(Part):
    """Caps on what is spent on models: further requests are refused, and the work so far comes home."""

    attempt: CapsPart | None = None
    """For each attempt."""
    task: CapsPart | None = None
    """For all attempts of a task together."""
    profile: CapsPart | None = None
    """For all attempts of an agent profile together."""
    run: CapsPart | None = None
    """For the whole run."""
    day: CapsPart | None = None
    """For all runs of a day."""


class PricePart(Part):
    """What a model costs you, for a million tokens of each kind."""

    input: Usd
    """For a million tokens of input, in US dollars."""
    output: Usd
    """For a million tokens of output, reasoning included."""
    cache_read: Usd | None = None
    """For a million tokens read from the service's cache; as `input` by default."""
    cache_write: Usd | None = None
    """For a million tokens written to the service's cache; as `input` by default."""
