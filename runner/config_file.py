"""The configuration file as people write it, and what it comes to: pure, no file is touched here.

No credential may stand in it, only where one is to be had. A message about it never shows a value.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails

from runner import accounts
from runner.accounts import (
    FromCommand,
    FromEnvironment,
    FromFile,
    FromKeyring,
    FromLogin,
    Header,
    Prior,
    Provider,
    ProviderAccount,
    Source,
)
from runner.recipients import KINDS, Kind, Quiet, Recipient
from runner.tasks.plan import Value

EXAMPLE = 'credential = { file = "~/.keys/anthropic" }'

_NO_SECRETS = "a credential itself may not stand in this file"
URL_EXAMPLE = 'url = { file = "~/.keys/chat-url" }'
_HOURS = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])\s*-\s*([01]?[0-9]|2[0-3]):([0-5][0-9])")
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,31}")
_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*")
_SECRET_KEYS = re.compile(r"(?i).*(key|token|secret|password).*")

HOST_LOGINS = {
    ".claude/.credentials.json": "Claude Code",
    ".codex/auth.json": "Codex",
    ".gemini/oauth_creds.json": "Gemini CLI",
}
"""Where agent CLIs keep their own logins below the home directory (on Linux), by whose it is."""


class _Table(Value):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class KeyringTable(_Table):
    """`{ service = "…", user = "…" }`."""

    service: str = Field(min_length=1)
    user: str = Field(min_length=1)


class LoginTable(_Table):
    """`{ token_url = "…", client_id = "…" }`: where a login is refreshed, and as which client."""

    token_url: str
    client_id: str = Field(min_length=1)
    body: Literal["form", "json"] = "form"

    @field_validator("token_url")
    @classmethod
    def _protected(cls, text: str) -> str:
        url = accounts.service_address(text)
        parts = urlsplit(url)
        if parts.scheme != "https" and parts.hostname not in ("127.0.0.1", "::1", "localhost"):
            raise ValueError("a token service must be asked by https:// (http:// is for this host alone)")
        return url


class CredentialTable(_Table):
    """Where a credential is to be had: exactly one of these."""

    env: str | None = None
    file: str | None = Field(default=None, min_length=1)
    command: tuple[str, ...] | None = Field(default=None, min_length=1)
    keyring: KeyringTable | None = None
    login: LoginTable | None = None

    @model_validator(mode="before")
    @classmethod
    def _one(cls, given: object) -> object:
        if not isinstance(given, Mapping):
            raise ValueError(f"{_NO_SECRETS}, only where it is to be had")  # noqa: TRY004 - pydantic's way
        if not set(given) - set(cls.model_fields) and len(given) != 1:
            raise ValueError("one source is wanted: env, file, command, keyring or login")
        return given

    @field_validator("env")
    @classmethod
    def _is_name(cls, name: str | None) -> str | None:
        if name is not None and _VARIABLE.fullmatch(name) is None:
            raise ValueError("env names a variable, in upper case; the credential itself may not stand here")
        return name


def _plain_name(name: str) -> str:
    if _NAME.fullmatch(name) is None:
        raise ValueError("a name is up to 32 of a-z, 0-9, '.', '_' and '-', and begins with a-z or 0-9")
    return name


def _no_two(names: list[str], of_what: str) -> None:
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"two {of_what} are called {name}")


def _quiet_hours(given: object) -> object:
    """Quiet hours as people write them: `22:00-07:00`."""
    found = _HOURS.fullmatch(given) if isinstance(given, str) else None
    if found is not None:
        begin, end = (60 * int(found[n]) + int(found[n + 1]) for n in (1, 3))
        if begin != end:
            return Quiet(begin=begin, end=end)
    if given is None or given is False:
        return given
    raise ValueError('quiet hours are wanted, like "22:00-07:00"')


class AccountTable(_Table):
    """One `[[accounts]]`."""

    name: str
    provider: Provider
    base_url: str | None = None
    credential: CredentialTable | None = None
    header: Header | None = None
    subscription: bool | None = None
    limits: Prior = Prior()

    _plain = field_validator("name")(_plain_name)

    @field_validator("base_url")
    @classmethod
    def _is_address(cls, text: str | None) -> str | None:
        return None if text is None else accounts.service_address(text)

    @model_validator(mode="after")
    def _fits(self) -> AccountTable:
        if self.subscription and self.provider != "anthropic":
            raise ValueError("subscription is for Claude's, of the provider anthropic")
        if self.credential is None and self.base_url is None:
            raise ValueError(f"the provider's own service wants a credential, such as {EXAMPLE}")
        return self


class RecipientTable(_Table):
    """One `[[notify.to]]`."""

    name: str
    url: CredentialTable | None = None
    desktop: Literal[True] | None = None
    on: tuple[Kind, ...] = Field(default=KINDS, min_length=1)
    quiet: Quiet | Literal[False] | None = None

    _plain = field_validator("name")(_plain_name)
    _hours = field_validator("quiet", mode="before")(_quiet_hours)

    @model_validator(mode="after")
    def _one_way(self) -> RecipientTable:
        if (self.url is None) == (self.desktop is None):
            raise ValueError(f"one way is wanted: desktop = true, or {URL_EXAMPLE}")
        if self.url is not None and self.url.login is not None:
            raise ValueError("a URL comes from env, file, command or keyring, not from a login")
        return self


class NotifyTable(_Table):
    """`[notify]`: who is told of what happens, and when not."""

    quiet: Quiet | None = None
    to: tuple[RecipientTable, ...] = ()

    _hours = field_validator("quiet", mode="before")(_quiet_hours)

    @field_validator("to")
    @classmethod
    def _distinct(cls, tables: tuple[RecipientTable, ...]) -> tuple[RecipientTable, ...]:
        _no_two([table.name for table in tables], "recipients")
        return tables


class ConfigFile(_Table):
    """The whole file."""

    accounts: tuple[AccountTable, ...] = ()
    notify: NotifyTable = NotifyTable()

    @field_validator("accounts")
    @classmethod
    def _distinct(cls, tables: tuple[AccountTable, ...]) -> tuple[AccountTable, ...]:
        _no_two([table.name for table in tables], "accounts")
        return tables


def recipients(
    config: ConfigFile, folder: Path, home: Path, environment: Mapping[str, str]
) -> tuple[Recipient, ...]:
    """Who is told, in the file's order; the arguments are those of `resolve`.

    Raises:
        ValueError: As `resolve`.
    """
    return tuple(_recipient(table, config.notify, folder, home, environment) for table in config.notify.to)


def _recipient(
    table: RecipientTable, notify: NotifyTable, folder: Path, home: Path, environment: Mapping[str, str]
) -> Recipient:
    whose = f"notify.to {table.name}"
    source = None if table.url is None else _source(whose, table.url, folder, home)
    quiet = notify.quiet if table.quiet is None else table.quiet or None
    secret = _from_environment(whose, source, environment)
    return Recipient(name=table.name, source=source, secret=secret, on=table.on, quiet=quiet)


def _from_environment(
    whose: str, source: FromEnvironment | Source | None, environment: Mapping[str, str]
) -> SecretStr | None:
    """What a variable holds, if that is the source and it is set."""
    secret = environment.get(source.name, "") if isinstance(source, FromEnvironment) else ""
    try:
        secret = accounts.one_word(secret)
    except ValueError as wrong:
        raise ValueError(f"{whose}: {wrong}") from None
    return SecretStr(secret) if secret else None


def resolve(
    config: ConfigFile, folder: Path, home: Path, environment: Mapping[str, str]
) -> tuple[ProviderAccount, ...]:
    """The accounts of a file, in its order.

    Args:
        config: What stands in it.
        folder: The directory that it lies in, which relative paths start from.
        home: The user's home directory, for `~/`.
        environment: Where variables are looked up.

    Raises:
        ValueError: A credential is to be read from an agent CLI's own login, or a variable holds no key.
    """
    return tuple(_account(table, folder, home, environment) for table in config.accounts)


def _account(
    table: AccountTable, folder: Path, home: Path, environment: Mapping[str, str]
) -> ProviderAccount:
    whose = f"account {table.name}"
    source = None if table.credential is None else _source(whose, table.credential, folder, home)
    subscription = table.subscription
    if subscription is None:
        subscription = table.provider == "anthropic" and isinstance(source, FromLogin)
    bearer = subscription or isinstance(source, FromLogin)
    return ProviderAccount(
        name=table.name,
        provider=table.provider,
        base_url=table.base_url or accounts.ADDRESSES[table.provider],
        header=table.header or ("authorization" if bearer else accounts.HEADERS[table.provider]),
        subscription=subscription,
        source=source,
        secret=_from_environment(whose, source, environment),
        limits=table.limits,
    )


def _source(whose: str, table: CredentialTable, folder: Path, home: Path) -> FromEnvironment | Source:
    if table.env is not None:
        return FromEnvironment(name=table.env)
    if table.file is not None:
        path = _path(table.file, folder, home)
        owner = whose_login(path, home)
        if owner is not None:
            raise ValueError(f"{whose}: {two_owners(owner)}")
        return FromFile(path=str(path))
    if table.command is not None:
        program, *arguments = table.command
        if program.startswith("~/"):
            program = str(home / program[2:])
        return FromCommand(run=(program, *arguments))
    if table.keyring is not None:
        return FromKeyring(service=table.keyring.service, user=table.keyring.user)
    if table.login is None:
        raise AssertionError("a credential table has one source")
    return FromLogin(account=whose.removeprefix("account "), **table.login.model_dump())


def _path(text: str, folder: Path, home: Path) -> Path:
    return home / text[2:] if text.startswith("~/") else folder / text


def whose_login(path: Path, home: Path) -> str | None:
    """Which agent CLI keeps its own login in that file, by the file's path; None for none."""
    if path.name == ".credentials.json":  # wherever CLAUDE_CONFIG_DIR says
        return "Claude Code"
    for place, whose in HOST_LOGINS.items():
        if path == home / place or path.as_posix().endswith(f"/{place}"):
            return whose
    return None


def two_owners(whose: str) -> str:
    """Why that CLI's own login is not used."""
    return f"that is {whose}'s own login, and two who refresh one login log each other out"


def problems(error: ValidationError) -> Iterator[str]:
    """What is wrong with a file, key by key, in words that show no value."""
    for one in error.errors(include_input=False, include_url=False, include_context=False):
        yield f"{_place(one)}: {_wrong(one)}"


def _place(one: ErrorDetails) -> str:
    words = ""
    for part in one["loc"]:
        key = part if isinstance(part, int) or len(part) <= 32 else "…"  # whatever was pasted there
        words += f"[{key}]" if isinstance(key, int) else f"{'.' if words else ''}{key}"
    return words or "the file"


_PLAIN = {
    "missing": "it is missing",
    "string_type": "a text in quotes is wanted",
    "bool_type": "true or false is wanted",
    "tuple_type": 'a list is wanted, such as ["pass", "show", "x"]; no shell is used',
    "string_too_short": "it is empty",
    "too_short": "it is empty",
}


def _wrong(one: ErrorDetails) -> str:
    if one["type"] == "extra_forbidden":
        key = str(one["loc"][-1])
        return _NO_SECRETS if _SECRET_KEYS.fullmatch(key) else "there is no such key"
    if one["type"] == "model_type" or one["type"] == "model_attributes_type":
        return "a table is wanted, in braces"
    message = _PLAIN.get(one["type"], one["msg"]).removeprefix("Value error, ")
    return message.replace("Input should be", "it should be")
