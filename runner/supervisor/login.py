"""Takes in a login that was made for Corral, once; from then on the gateway is its only owner."""

from __future__ import annotations

import os
import stat
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext, suppress
from io import UnsupportedOperation
from pathlib import Path

from runner import config_file
from runner.accounts import FromLogin
from runner.errors import HostError, UsageError
from runner.gateway.keys import logins
from runner.gateway.keys.sources import MAX_KEY, CredentialError
from runner.settings import Settings
from runner.supervisor.means import make_home

ANEW = "log in anew, for Corral alone"


def take_in(settings: Settings, account: str, file: Path | None, ask: Callable[[], str]) -> Path:
    """Keep a login for an account, in place of the one that it had.

    Args:
        settings: The settings, with the accounts.
        account: The name of one whose credential is a login.
        file: Where it stands; None for standard input.
        ask: Asks a person for it, where standard input is a terminal.

    Returns:
        Where it is kept.

    Raises:
        UsageError: There is no such account, the input is no login, or is an agent CLI's own.
        HostError: It can't be written.
    """
    _check_account(settings, account)
    text = ask() if file is None and sys.stdin.isatty() else _text(file)
    try:
        login = logins.parse(text, time.time())
    except CredentialError as wrong:
        raise UsageError(str(wrong), cure=wrong.cure) from None
    make_home(settings.home)
    try:
        logins.save(settings.home, account, login)
    except OSError as error:
        raise HostError(f"the login can't be written: {error.strerror}") from error
    return logins.file_of(settings.home, account)


def _check_account(settings: Settings, account: str) -> None:
    found = next((one for one in settings.accounts if one.name == account), None)
    wanted = "credential = { login = { token_url = …, client_id = … } }"
    if found is None:
        names = ", ".join(one.name for one in settings.accounts) or "none"
        cure = f"list it in {settings.config}, with {wanted}"
        raise UsageError(f"there is no account {account!r}; there are: {names}", cure=cure)
    if not isinstance(found.source, FromLogin):
        cure = f"give it {wanted} in {settings.config}"
        raise UsageError(f"the account {account} does not use a login", cure=cure)


def _text(file: Path | None) -> str:
    whose = None if file is None else config_file.whose_login(file.absolute(), Path.home())
    if whose is not None:
        raise UsageError(config_file.two_owners(whose), cure=ANEW)
    try:
        with nullcontext(sys.stdin.buffer) if file is None else file.open("rb") as opened:
            with suppress(UnsupportedOperation):  # what has no descriptor is no file
                _refuse_others(os.fstat(opened.fileno()))
            content = opened.read(MAX_KEY + 1)
    except OSError as error:
        raise UsageError(f"{file or 'standard input'} can't be read: {error.strerror}") from error
    try:
        text = content.decode()
    except UnicodeDecodeError:
        text = ""
    if len(content) > MAX_KEY or not text:
        raise UsageError("that is no login", cure=logins.WANTED)
    return text


def _refuse_others(found: os.stat_result) -> None:
    """Refuse an agent CLI's own login, by whatever name it is reached."""
    if not stat.S_ISREG(found.st_mode):
        return
    for place, whose in config_file.HOST_LOGINS.items():
        try:
            theirs = (Path.home() / place).stat()
        except OSError:
            continue
        if os.path.samestat(found, theirs):
            raise UsageError(config_file.two_owners(whose), cure=ANEW)
