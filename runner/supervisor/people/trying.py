"""Whether those who are told of the night can be reached: by a look, and by a message."""

from __future__ import annotations

import platform
import stat
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from runner.accounts import FromFile
from runner.recipients import KINDS, Recipient
from runner.supervisor.host.doctor import Finding
from runner.supervisor.people.courier import Courier, Message


def send(recipients: tuple[Recipient, ...], environment: Mapping[str, str]) -> dict[str, str]:
    """Send each a message, whatever the hour; returns what went wrong by name, empty where nothing did."""
    words = f"This is a test, sent from {platform.node() or 'this host'}. So you are told of Corral's nights."
    return _at_once(recipients, environment, Message("Corral: a test", words))


def examine(recipients: tuple[Recipient, ...], environment: Mapping[str, str]) -> list[Finding]:
    """A finding for each: whether its URL can be had and is one, without sending anything."""
    problems = _at_once(recipients, environment, None)
    return [_finding(recipient, problems[recipient.name]) for recipient in recipients]


def _at_once(
    recipients: tuple[Recipient, ...], environment: Mapping[str, str], message: Message | None
) -> dict[str, str]:
    courier = Courier(environment)
    with ThreadPoolExecutor(max_workers=4) as pool:
        problems = pool.map(lambda recipient: courier.deliver(recipient, message), recipients)
        return dict(zip((recipient.name for recipient in recipients), problems, strict=True))


def _finding(recipient: Recipient, problem: str) -> Finding:
    name = f"notify {recipient.name}"
    if problem:
        return Finding(name, "weaker", problem, f"`corral notify test {recipient.name}` tries it again")
    way = "on this desktop" if recipient.source is None else f"by the URL from {recipient.source}"
    about = "" if recipient.on == KINDS else f", of {', '.join(recipient.on)}"
    quiet = "" if recipient.quiet is None else f", not from {recipient.quiet}"
    for warning, cure in _warnings(recipient):
        return Finding(name, "weaker", f"told {way}{about}{quiet}; {warning}", cure)
    return Finding(name, "ok", f"told {way}{about}{quiet}")


def _warnings(recipient: Recipient) -> Iterator[tuple[str, str]]:
    if isinstance(recipient.source, FromFile):
        path = Path(recipient.source.path)
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            yield "others on this host may read that file", f"chmod 600 {path}"
