"""Whether the credentials of this host's accounts can be had: each is read once, and shown to nobody."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

from runner.accounts import FromFile, FromLogin, ProviderAccount
from runner.errors import UsageError
from runner.gateway.grants import Service
from runner.gateway.keys import logins, sources
from runner.gateway.keys.sources import CredentialError
from runner.settings import Settings
from runner.supervisor.access import services
from runner.supervisor.host.doctor import Finding


def examine(settings: Settings, environment: Mapping[str, str]) -> list[Finding]:
    """A finding for each account. Programs that print keys are run for it, and the keyring is asked."""
    return [_finding(settings, account, service, environment) for account, service in services(settings)]


def _finding(
    settings: Settings,
    account: ProviderAccount,
    service: Service | UsageError,
    environment: Mapping[str, str],
) -> Finding:
    name = f"account {account.name}"
    if isinstance(service, UsageError):
        return Finding(name, "broken", service.message, service.cure)
    try:
        _read(settings, service, environment)
    except CredentialError as lacking:
        return Finding(name, "broken", f"{account.provider}: {lacking}", lacking.cure or None)
    whence = "without a credential" if account.source is None else f"key from {account.source}"
    words = f"{account.provider}, {whence}, for {service.base_url}"
    for warning, cure in _warnings(account):
        return Finding(name, "weaker", f"{words}; {warning}", cure)
    return Finding(name, "ok", words)


def _read(settings: Settings, service: Service, environment: Mapping[str, str]) -> None:
    source = service.credential
    if isinstance(source, FromLogin):
        logins.load(settings.home, source.account)  # the gateway alone refreshes it
    elif source is not None:
        asyncio.run(sources.read(source, environment))


def _warnings(account: ProviderAccount) -> Iterator[tuple[str, str]]:
    if isinstance(account.source, FromFile):
        path = Path(account.source.path)
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            yield "others on this host may read that file", f"chmod 600 {path}"
