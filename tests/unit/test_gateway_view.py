"""How accounts are shown: where each has its key from, until when, and what is wrong."""

from __future__ import annotations

import io

from rich.console import Console

from runner.accounts import Shown
from runner.views import gateway_view

FINE = Shown(provider="anthropic", account="work", source="the file /k")
ILL = Shown(
    provider="anthropic", account="max", source="the login made for it", problem="gone\n\x1b[2Jaway",
    expires_at=1_800_000_000,
)  # fmt: skip


def test_accounts_are_shown_on_a_line_each() -> None:
    console = Console(file=io.StringIO(), width=200)
    console.print(gateway_view.terminal(gateway_view.Look(7, credentials=(FINE, ILL)), 0))
    shown = console.file.getvalue().splitlines()  # type: ignore[attr-defined] # it is a StringIO
    assert shown[0] == "gateway, process 7: 0 grants"
    assert shown[1] == "account work of anthropic: the file /k"
    assert shown[2].startswith("account max of anthropic: the login made for it, until 2027-01-1")
    assert "; gone" in shown[2]
    assert "\x1b" not in shown[2]
    assert len(shown) == 3


def test_for_programs() -> None:
    said = gateway_view.as_json(gateway_view.Look(None, credentials=(FINE,)))
    assert said["credentials"] == [
        {
            "provider": "anthropic",
            "account": "work",
            "source": "the file /k",
            "problem": "",
            "expires_at": None,
        }
    ]
