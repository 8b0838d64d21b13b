"""What a process leaves to the next one: what each box had used.

It is written down about once a second where it changed, and when the process ends: one that is killed leaves
the figures of a second before. Supervisors know those of when they last asked, if they live. The ledger,
which budgets go by, lacks nothing.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from runner.gateway.grants import Usage

log = logging.getLogger(__name__)

_USAGES: TypeAdapter[dict[str, Usage]] = TypeAdapter(dict[str, Usage])


def leave(file: Path, usages: dict[str, Usage]) -> None:
    """Write down what boxes had used; if it can't be, supervisors know all but the last of it."""
    fresh = file.with_suffix(".new")
    try:
        fresh.write_bytes(_USAGES.dump_json(usages))
        os.replace(fresh, file)  # noqa: PTH105 - in one step
    except OSError as failure:
        log.warning("the last figures are not handed over: %s", failure)


def take(file: Path) -> dict[str, Usage]:
    """What the last process left, once."""
    try:
        text = file.read_bytes()
        file.unlink()
        return _USAGES.validate_json(text)
    except FileNotFoundError:
        return {}
    except (OSError, ValidationError) as failure:
        log.warning("the last figures of the process before are not known: %s", type(failure).__name__)
        return {}


def later(one: Usage, other: Usage) -> Usage:
    """Of two usages of one box, the one that knows of more."""
    return max((one, other), key=lambda usage: (usage.requests, usage.tokens or 0, usage.held_s))
