"""Logins made for Corral: how they are taken in, and the files that they are kept in.

One file an account, readable by its user alone, replaced as a whole: a file is written beside it, made
durable, and takes its place in one step. The gateway's process is the only one that refreshes a login.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, SecretStr, ValidationError

from runner.accounts import one_word
from runner.gateway.keys.sources import MAX_KEY, CredentialError
from runner.gateway.places import own_folder
from runner.locks import locked
from runner.tasks.plan import Value

FOLDER = "logins"


class Login(Value):
    """What is known of a login. Times are in seconds since the epoch."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    refresh_token: SecretStr
    access_token: SecretStr | None = None
    """What the model service is shown; None until the first refresh."""
    issued_at: float | None = None
    expires_at: float | None = None
    """When the access token expires; None where the token service did not say."""
    asked_at: float | None = None
    """When a refresh was begun whose answer is not in this file: the refresh token may be spent."""

    def is_over(self, now: float) -> bool:
        """Whether there is no access token that still counts."""
        return self.access_token is None or (self.expires_at is not None and now >= self.expires_at)

    def is_due(self, now: float) -> bool:
        """Whether it is time for a refresh: some minutes before the end, or in its last fifth."""
        if self.access_token is None:
            return True
        if self.expires_at is None:
            return False
        ahead = AHEAD
        if self.issued_at is not None:
            ahead = min(AHEAD, max(self.expires_at - self.issued_at, 0) / 5)
        return now >= self.expires_at - ahead


AHEAD = 300.0
"""Seconds before its end at which a token is refreshed, if it lasts long enough."""


def parse(text: str, now: float) -> Login:
    """A login as people have it: a refresh token alone, or the JSON of a token service or an agent CLI.

    Raises:
        CredentialError: It is none of these.
    """
    try:
        found = json.loads(text)
    except ValueError:
        found = text
    if not isinstance(found, dict):
        token = _token(text)
        if token is None or text.lstrip().startswith(("{", "[")):  # what was to be JSON
            raise CredentialError("that is no login", WANTED)
        return Login(refresh_token=token)
    inner = _inner(found)
    refresh = _token(inner.get("refresh_token", inner.get("refreshToken")))
    if refresh is None:
        raise CredentialError("there is no refresh token in it", WANTED)
    return Login(
        refresh_token=refresh,
        access_token=_token(inner.get("access_token", inner.get("accessToken"))),
        expires_at=_expiry(inner, now),
    )


WANTED = (
    "give a refresh token, or the JSON that a token service answers with (refresh_token, access_token, …)"
)


def _inner(found: dict[str, Any]) -> Mapping[str, Any]:
    # Claude Code keeps its login under claudeAiOauth, Codex under tokens.
    for key in ("claudeAiOauth", "tokens"):
        if isinstance(found.get(key), dict):
            inner: Mapping[str, Any] = found[key]
            return inner
    return found


def _token(given: object) -> SecretStr | None:
    if not isinstance(given, str) or not given.strip() or len(given) > MAX_KEY:
        return None
    with suppress(ValueError):
        return SecretStr(one_word(given))
    return None


def _expiry(inner: Mapping[str, Any], now: float) -> float | None:
    for key, since in (("expires_at", 0.0), ("expiresAt", 0.0), ("expires_in", now)):
        told = inner.get(key)
        if isinstance(told, int | float) and not isinstance(told, bool) and 0 <= told < 1e15:
            # No date in seconds has 12 digits before the year 5138: such a figure is in milliseconds.
            return since + (told / 1000 if told >= 1e11 else told)
    return None


def answered(before: Login, answer: Mapping[str, Any], now: float) -> Login:
    """What a login has become by the answer of the token service (RFC 6749, section 5.1).

    One that names no new refresh token leaves the old one in force.

    Raises:
        CredentialError: The answer holds no access token.
    """
    access = _token(answer.get("access_token"))
    if access is None:
        raise CredentialError("the token service answered without an access token")
    lasts = _expiry({"expires_in": answer.get("expires_in")}, now)
    refresh = _token(answer.get("refresh_token")) or before.refresh_token
    return Login(refresh_token=refresh, access_token=access, issued_at=now, expires_at=lasts)


# -- the files


def file_of(home: Path, account: str) -> Path:
    """Where an account's login is kept."""
    return own_folder(home) / FOLDER / f"{account}.json"


def load(home: Path, account: str) -> Login:
    """An account's login.

    Raises:
        CredentialError: There is none, or it can't be read.
    """
    file = file_of(home, account)
    try:
        return Login.model_validate_json(file.read_bytes())
    except FileNotFoundError:
        raise CredentialError("nobody has logged in", f"corral gateway login {account}") from None
    except OSError as error:
        raise CredentialError(f"{file}: {error.strerror}") from None
    except ValidationError:
        raise CredentialError(f"{file} is damaged", f"corral gateway login {account}") from None


def save(home: Path, account: str, login: Login, instead_of: Login | None = None) -> bool:
    """Keep a login durably; returns whether it was done.

    With `instead_of`, it is not done if another login has taken that one's place meanwhile.

    Raises:
        OSError: It can't be written; what was there is there.
    """
    file = file_of(home, account)
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with locked(file.with_suffix(".lock")):
        if instead_of is not None:
            try:
                if load(home, account).refresh_token != instead_of.refresh_token:
                    return False
            except CredentialError:
                return False
        _replace(file, json.dumps(_plain(login)).encode())
    return True


def _plain(login: Login) -> dict[str, object]:
    values = login.model_dump(exclude_none=True)
    return {k: v.get_secret_value() if isinstance(v, SecretStr) else v for k, v in values.items()}


def _replace(file: Path, content: bytes) -> None:
    fresh = file.with_suffix(".new")
    fresh.unlink(missing_ok=True)  # of one who was killed here
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as out:
        out.write(content)
        out.flush()
        os.fsync(fd)
    fresh.replace(file)
    folder = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
