"""The gateway at a glance: who asks models, what that used, and what is left of the budgets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from rich.console import Group, RenderableType
from rich.text import Text

from runner.accounts import Shown
from runner.gateway.grants import Standing, Sum
from runner.tasks.plan import Caps
from runner.views import wording
from runner.views.fitting import Column, Fitting
from runner.views.inert import cell, line
from runner.views.summary import Json

_HEAD = (
    Column("attempt"),
    Column("run", importance=3),
    Column("requests", importance=4),
    Column("under way", importance=4),
    Column("tokens", importance=5),
    Column("cost", importance=5),
    Column("", importance=2),
)


def terminal(pid: int, grants: list[Standing], credentials: Sequence[Shown] = ()) -> RenderableType:
    """A row for each box that may ask, and a line for each cap and each account."""
    head = Text(f"gateway, process {pid}: {wording.many(len(grants), 'grant')}", "bold")
    rows = [_row(one) for one in grants]
    return Group(head, *([Fitting(_HEAD, rows)] if rows else []), *_budgets(grants), *_accounts(credentials))


def as_json(pid: int | None, grants: list[Standing], credentials: Sequence[Shown] = ()) -> Json:
    """The same for programs; without a process, `pid` is None."""
    return {
        "kind": "gateway.status",
        "schema": 1,
        "pid": pid,
        "grants": [one.model_dump(mode="json") for one in grants],
        "credentials": [one.model_dump(mode="json") for one in credentials],
    }


def _accounts(credentials: Sequence[Shown]) -> Iterator[Text]:
    """How each credential stands that was asked for."""
    for one in credentials:
        words = f"account {one.account} of {one.provider}: {one.source}"
        if one.expires_at is not None:
            words += f", until {datetime.fromtimestamp(one.expires_at).astimezone():%Y-%m-%d %H:%M}"
        yield Text(
            line(f"{words}; {one.problem}" if one.problem else words, 300), "yellow" if one.problem else ""
        )


def _row(one: Standing) -> tuple[Text, ...]:
    usage = one.usage
    notes = [f"the budget of its {usage.over_budget} is spent"] if usage.over_budget else []
    played = "a recording answers" if usage.replayed else "a script answers"
    notes += [played] if usage.scripted else []
    return (
        cell(one.account.attempt or one.box),
        cell(one.account.run),
        Text(str(usage.requests)),
        Text(str(usage.in_flight)),
        Text(wording.tokens(usage.tokens)),
        Text(wording.usd(None if usage.unpriced else usage.usd)),
        cell("; ".join(notes)),
    )


def _budgets(grants: list[Standing]) -> Iterator[Text]:
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
