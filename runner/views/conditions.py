"""The condition of a living agent: in words, and as news that is worth a line of its own."""

from __future__ import annotations

from pydantic import JsonValue
from rich.text import Text

from runner.supervisor import events as e
from runner.views.inert import cell

UNUSUAL = frozenset({"looping", "waiting-for-a-person", "hung", "dead-inside", "gateway-unreachable"})
"""Conditions in which an agent gets nowhere."""

WORTH_TELLING = 60.0
"""Seconds: of one that lasts for less, nobody is told in a line of its own."""


def stage(signs: e.Signs | None, otherwise: str) -> Text:
    """What an attempt is at, in a word or two: how its agent gets nowhere, or the stage of its life."""
    if signs is not None and signs.condition in UNUSUAL:
        return Text(plain(signs.condition), "yellow")
    return Text(otherwise, "cyan")


def doing(signs: e.Signs | None) -> Text:
    """What an agent does, or by what its condition is told."""
    if signs is None:
        return Text("")
    if signs.condition in UNUSUAL:
        return cell(signs.cause, "yellow")
    if signs.condition == "quiet-but-busy":
        return cell(f"{signs.doing or ''} [quiet but busy: {signs.cause}]".lstrip())
    if signs.condition == "waiting-for-the-model":
        return cell(signs.doing or plain(signs.condition))
    return cell(signs.doing or "")


def plain(condition: str) -> str:
    """A condition's name as people write it."""
    return condition.replace("-", " ")


def row(signs: e.Signs | None) -> dict[str, JsonValue] | None:
    """The condition for programs; None where it is not known."""
    if signs is None or signs.condition is None:
        return None
    return {"condition": signs.condition, "cause": signs.cause or None, "lasted": signs.lasted}


class News:
    """Tells of a condition in which an agent gets nowhere once when it has lasted, and once when it ends."""

    def __init__(self) -> None:
        self._told: dict[str, str] = {}

    def of(self, signs: e.Signs) -> str:
        """What these signs say that is news, as a sentence about the attempt; empty if nothing."""
        before = self._told.get(signs.attempt)
        if signs.condition not in UNUSUAL or signs.condition is None:
            self._told.pop(signs.attempt, None)
            return "goes on" if before and signs.condition is not None else ""
        if before == signs.condition or (signs.lasted or 0.0) < WORTH_TELLING:
            return ""
        self._told[signs.attempt] = signs.condition
        return f"{plain(signs.condition)}: {signs.cause}"
