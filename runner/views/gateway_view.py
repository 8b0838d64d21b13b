"""The gateway at a glance: who asks models, who waits for what, how accounts stand, what is spent."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from rich.console import Group, RenderableType
from rich.text import Text

from runner.accounts import Shown
from runner.gateway.client import Gateway
from runner.gateway.grants import Outlook, Standing, Sum, Window
from runner.supervisor.deadline import at
from runner.tasks.plan import Caps
from runner.views import holds, wording
from runner.views.fitting import Column, Fitting
from runner.views.inert import cell, line
from runner.views.summary import Json

NONE_RUNS = "no gateway runs: it is started by the first attempt that asks a model"

_HEAD = (
    Column("attempt"),
    Column("run", importance=3),
    Column("requests", importance=4),
    Column("under way", importance=4),
    Column("tokens", importance=5),
    Column("cost", importance=5),
    Column("held for", importance=2),
    Column("", importance=6, prose=True),
)
_ACCOUNTS = (
    Column("account"),
    Column("models", importance=5),
    Column("under way", importance=3),
    Column("waiting", importance=6),
    Column("tokens a minute", importance=7),
    Column("limits", importance=8, prose=True),
)


@dataclass(frozen=True)
class Look:
    """What was seen of a gateway: its process, None if none runs; its grants, accounts and credentials."""

    pid: int | None
    grants: tuple[Standing, ...] = ()
    outlooks: tuple[Outlook, ...] = ()
    credentials: tuple[Shown, ...] = ()


def look(home: Path) -> Look:
    """How the gateway of a state directory stands now; nothing is started.

    Raises:
        HostError: It does not answer, or is of another version.
    """
    found = Gateway.look(home)
    if found is None:
        return Look(None)
    outlooks, credentials = Gateway.look_ahead(home), Gateway.credentials(home)
    return Look(found[0], tuple(found[1]), tuple(outlooks or ()), tuple(credentials))


def terminal(seen: Look, now: float) -> RenderableType:
    """A row for each box that may ask and for each account, and a line for each cap."""
    if seen.pid is None:
        return Text(NONE_RUNS)
    head = Text(f"gateway, process {seen.pid}: {wording.many(len(seen.grants), 'grant')}", "bold")
    parts: list[RenderableType] = [head]
    if seen.grants:
        parts.append(Fitting(_HEAD, [_row(one, now) for one in seen.grants]))
    if seen.outlooks:
        parts += [Text(), Fitting(_ACCOUNTS, [_account(one, now) for one in seen.outlooks])]
    return Group(*parts, *_budgets(seen.grants), *_credentials(seen.credentials))


def as_json(seen: Look) -> Json:
    """The same for programs; without a process, `pid` is None."""
    return {
        "kind": "gateway.status",
        "schema": 1,
        "pid": seen.pid,
        "grants": [one.model_dump(mode="json") for one in seen.grants],
        "accounts": [one.model_dump(mode="json") for one in seen.outlooks],
        "credentials": [one.model_dump(mode="json") for one in seen.credentials],
    }


def _row(one: Standing, now: float) -> tuple[Text, ...]:
    usage = one.usage
    notes = [f"waits: {holds.of(usage.held, now)}"] if usage.held is not None else []
    notes += [f"the budget of its {usage.over_budget} is spent"] if usage.over_budget else []
    notes += [f"refused: {usage.limited}"] if usage.limited else []
    played = "a recording answers" if usage.replayed else "a script answers"
    notes += [played] if usage.scripted else []
    return (
        cell(one.account.attempt or one.box),
        cell(one.account.run),
        Text(str(usage.requests)),
        Text(str(usage.in_flight)),
        Text(wording.tokens(usage.tokens)),
        Text(wording.usd(None if usage.unpriced else usage.usd)),
        Text(wording.duration(usage.held_s) if usage.held_s else ""),
        cell("; ".join(notes), "yellow" if usage.held or usage.limited or usage.over_budget else ""),
    )


def _account(one: Outlook, now: float) -> tuple[Text, ...]:
    whose = one.dialect if one.account == "default" else f"{one.dialect} {one.account}"
    limit = next((window.limit for window in one.windows if window.name == "tokens" and window.limit), None)
    rate = wording.tokens(one.tokens_per_minute)
    is_closed = one.closed_until is not None and one.closed_until > now
    shut = holds.words(f"the {one.closed or 'usage'} window is used up", one.closed_until, now)
    limits = [shut] if is_closed else []
    limits += [words for window in one.windows if (words := _window(window, now))]
    return (
        cell(whose),
        cell(one.family or "all"),
        Text(str(one.in_flight)),
        Text(str(one.waiting)),
        Text(rate if limit is None else f"{rate} of {wording.tokens(limit)}"),
        cell("; ".join(limits), "yellow" if is_closed else ""),
    )


def _credentials(credentials: tuple[Shown, ...]) -> Iterator[Text]:
    """How each credential stands that was asked for."""
    for one in credentials:
        words = f"account {one.account} of {one.provider}: {one.source}"
        if one.expires_at is not None:
            words += f", until {datetime.fromtimestamp(one.expires_at).astimezone():%Y-%m-%d %H:%M}"
        yield Text(
            line(f"{words}; {one.problem}" if one.problem else words, 300), "yellow" if one.problem else ""
        )


def _window(window: Window, now: float) -> str:
    """How much of a limit is used up, and when it resets, as far as that is known."""
    left = window.remaining
    if window.used is not None:
        used = f"{window.used:.0%} used"
    elif left is not None and window.limit:
        used = f"{wording.tokens(window.limit - left)} of {wording.tokens(window.limit)} used"
    else:
        return ""
    if window.resets_at is None or window.resets_at - now < 60:
        return f"{window.name} {used}"
    return f"{window.name} {used}, resets {at(window.resets_at, now)}"


def _budgets(grants: tuple[Standing, ...]) -> Iterator[Text]:
    """Each cap once, with what was spent of it."""
    told: dict[str, None] = {}
    for one in grants:
        account = one.account
        names = {"attempt": account.attempt, "task": account.task, "profile": account.profile}
        for kind, caps in account.budget.caps().items():
            if kind in one.spent:
                whose = f"{kind} {names.get(kind, account.run if kind == 'run' else '')}".rstrip()
                over = wording.caps(one.overshot.get(kind, Caps()))
                more = f"; overshot by {over}" if over else ""
                told[f"budget of {whose}: {', '.join(_caps(caps, one.spent[kind]))}{more}"] = None
    yield from (Text(line(words, 300)) for words in told)


def _caps(caps: Caps, spent: Sum) -> Iterator[str]:
    if caps.usd is not None:
        more = "+" if spent.unpriced else ""
        yield f"{wording.usd(spent.usd)}{more} of {wording.usd(caps.usd)}"
    if caps.tokens is not None:
        yield f"{wording.tokens(spent.tokens)} of {wording.tokens(caps.tokens)} tokens"
    if caps.requests is not None:
        yield f"{spent.requests} of {caps.requests} requests"
