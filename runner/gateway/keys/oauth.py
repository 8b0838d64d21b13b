"""Asks a token service for a fresh access token: the refresh grant of OAuth 2 (RFC 6749, section 6)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import aiohttp

from runner.accounts import FromLogin
from runner.gateway.keys.logins import Login, answered
from runner.gateway.keys.sources import CredentialError

TIMEOUT = 10.0
"""Seconds for the whole of it: requests of boxes wait meanwhile."""

MAX_ANSWER = 64 * 1024

_CODE = re.compile(r"[a-z_]{1,40}")


class RefreshError(CredentialError):
    """The refresh failed. `is_refused`: the service says no. `is_lost`: it may have answered, unheard."""

    def __init__(self, why: str, *, is_refused: bool = False, is_lost: bool = False) -> None:
        super().__init__(why)
        self.is_refused = is_refused
        self.is_lost = is_lost


async def refresh(login: Login, source: FromLogin, proxy: str | None, now: float) -> Login:
    """What the login has become.

    Raises:
        RefreshError: There was no answer, or none with a token.
    """
    said = {
        "grant_type": "refresh_token",
        "refresh_token": login.refresh_token.get_secret_value(),
        "client_id": source.client_id,
    }
    try:
        status, content = await _post(source, said, proxy)
    except aiohttp.ClientConnectorError:
        raise RefreshError("the token service can't be reached") from None
    except (aiohttp.ClientError, TimeoutError, OSError) as failure:
        why = f"the token service gave no answer ({type(failure).__name__})"
        raise RefreshError(why, is_lost=True) from None
    answer = _object(content)
    if status != 200:
        code = str(answer.get("error", ""))
        known = f", {code}" if _CODE.fullmatch(code) else ""
        refused = status in (400, 401, 403) and code == "invalid_grant"
        raise RefreshError(f"the token service answered {status}{known}", is_refused=refused)
    try:
        return answered(login, answer, now)
    except CredentialError as wrong:
        raise RefreshError(str(wrong), is_lost=True) from None


async def _post(source: FromLogin, said: dict[str, str], proxy: str | None) -> tuple[int, bytes]:
    as_form = said if source.body == "form" else None
    as_json = said if source.body == "json" else None
    async with (
        aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=TIMEOUT), cookie_jar=aiohttp.DummyCookieJar(), trust_env=False
        ) as session,
        session.post(
            source.token_url,
            data=as_form,
            json=as_json,
            headers={"accept": "application/json"},
            allow_redirects=False,
            proxy=proxy,
        ) as answer,
    ):
        content = b""
        async for piece in answer.content.iter_any():
            content += piece
            if len(content) > MAX_ANSWER:
                raise RefreshError("the token service answered with more than a token", is_lost=True)
        return answer.status, content


def _object(content: bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
