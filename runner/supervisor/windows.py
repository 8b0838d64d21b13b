"""Which profiles wait for a window of their provider's before anything of theirs is started: pure.

A window is closed once the service refuses everything until its reset. It is closing when so little of it is
left that an attempt which starts now would soon only wait, holding its box and its memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from runner.agents import catalog
from runner.gateway.grants import Access, DialectName, Outlook, Service, Window
from runner.gateway.pacing.pace import family as family_of
from runner.supervisor.events import Shut
from runner.tasks.plan import OnLimit, Profile

CLOSING = 0.97
"""The share from which a window that is used up so far counts as closing. Subscriptions are told theirs in
hundredths, and one attempt seldom needs less than three of them."""

FAR = 15 * 60.0
"""Seconds: a window that is as good as used up, but resets within this time, holds nothing back."""

BRIEF = 10.0
"""Seconds: a window that opens sooner is open again by the time a box is up and has asked."""


@dataclass(frozen=True)
class Asks:
    """Whom the attempts of a profile ask: these accounts in their order, for this model."""

    accounts: tuple[tuple[DialectName, str], ...]
    model: str
    on_limit: OnLimit


@dataclass(frozen=True)
class Closed:
    """A window that lets nothing through: in words, and until when in seconds since the epoch."""

    window: str
    until: float


def asks_of(profile: Profile, accesses: Iterable[Access], on_limit: OnLimit) -> Asks | None:
    """Whom a profile's attempts ask; None for one of which nobody knows that it asks a model."""
    spoken = catalog.dialect(profile.settings)
    services = [one for one in accesses if isinstance(one, Service) and spoken in {None, one.dialect}]
    if not profile.asks_a_model or not services:
        return None
    accounts = dict.fromkeys((service.dialect, service.account) for service in services)
    if on_limit != "next-account":  # then the first one is asked, and no other
        accounts = dict.fromkeys(list(accounts)[:1])
    return Asks(tuple(accounts), getattr(profile.settings, "model", ""), on_limit)


def closed_for(
    asks: Asks, outlooks: Iterable[Outlook], now: float, *, closing: bool = False
) -> Closed | None:
    """The window that holds back who asks, if one does: of several accounts, that which opens first.

    Args:
        asks: Who asks.
        outlooks: How accounts stand.
        now: Seconds since the epoch.
        closing: Whether a window that is about to close counts too.
    """
    told = list(outlooks)
    found = [_closed(account, asks.model, told, now, closing=closing) for account in asks.accounts]
    shut = [one for one in found if one is not None]
    return min(shut, key=lambda one: one.until) if shut and len(shut) == len(found) else None


def shut_profiles(
    asking: Mapping[str, Asks], outlooks: Iterable[Outlook], before: tuple[Shut, ...], now: float
) -> tuple[Shut, ...]:
    """Which profiles wait for a window now.

    Args:
        asking: By the profile's name, whom its attempts ask.
        outlooks: How accounts stand.
        before: Which waited until now: what is as it was stays as it was told.
        now: Seconds since the epoch.
    """
    told = list(outlooks)
    earlier = {shut.profile: shut for shut in before}
    found = []
    for name, asks in asking.items():
        was = earlier.get(name)
        closed = closed_for(asks, told, now, closing=True)
        if closed is None or (was is None and closed.until - now < BRIEF):
            continue
        same = was is not None and was.window == closed.window and abs(was.until - closed.until) < BRIEF
        for_good = asks.on_limit == "stop"
        found.append(
            was
            if was is not None and same
            else Shut(profile=name, window=closed.window, since=now, until=closed.until, for_good=for_good)
        )
    return tuple(found)


def _closed(
    account: tuple[DialectName, str], model: str, outlooks: list[Outlook], now: float, *, closing: bool
) -> Closed | None:
    found = [
        closed
        for outlook in outlooks
        if (outlook.dialect, outlook.account) == account and _concerns(outlook.dialect, outlook.family, model)
        for closed in _of(outlook, now, closing=closing)
    ]
    return max(found, key=lambda one: one.until, default=None)


def _of(outlook: Outlook, now: float, *, closing: bool) -> Iterable[Closed]:
    if outlook.closed_until is not None and outlook.closed_until > now:
        yield Closed(words(outlook.closed or "usage", outlook), outlook.closed_until)
    for window in outlook.windows if closing else ():
        if window.resets_at is not None and window.resets_at - now > FAR and _used(window) >= CLOSING:
            yield Closed(words(window.name, outlook), window.resets_at)


def _used(window: Window) -> float:
    """The share of a window that is used up, as far as is known."""
    if window.used is None and window.limit and window.remaining is not None:
        return 1 - window.remaining / window.limit
    return window.used or 0.0


def _concerns(dialect: DialectName, family: str, model: str) -> bool:
    """Whether a family of models holds a model; the empty one holds all, and who names none may mean any."""
    return family in ("", family_of(dialect, model)) if model else True


def words(window: str, outlook: Outlook) -> str:
    """A window as people call it, and whose it is."""
    whose = outlook.dialect if outlook.account == "default" else f"account {outlook.account}"
    return f"the {window} window of {whose}"
