"""A small OAuth 2 token service, and a model service that takes only the tokens which that one gave."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qs

from runner.accounts import FromLogin
from tests.contract.gateway_service import USAGE, Upstream, plain, playing

FIRST = "rt-canary-0123456789abcdef-0"
CLIENT = "corral-test"


@dataclass
class TokenService:
    """Gives access tokens for the one refresh token that counts, and puts another in its place each time.

    `lasts` is in seconds. `before` is called with each request before it is answered, the tokens being
    exchanged already. `forgiving`: also the refresh token before the last one counts.
    """

    url: str = ""
    lasts: float = 3600.0
    refresh: str = FIRST
    last: str = ""
    forgiving: bool = False
    rotates: bool = True
    failing: int = 0
    """The status with which all is refused, if any."""
    given: dict[str, float] = field(default_factory=dict)
    """Until when each access token counts."""
    asked: list[dict[str, str]] = field(default_factory=list)
    before: Callable[[], None] = lambda: None
    lock: threading.Lock = field(default_factory=threading.Lock)
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def source(self, account: str = "work", **changes: str) -> FromLogin:
        """The account's login as it is configured."""
        given = {"account": account, "token_url": self.url, "client_id": CLIENT, **changes}
        return FromLogin.model_validate(given)

    def answer(self, asked: BaseHTTPRequestHandler, body: bytes) -> None:
        """Exchange tokens, or say why not."""
        if asked.headers.get_content_type() == "application/json":
            said: dict[str, str] = json.loads(body)
        else:
            said = {name: values[0] for name, values in parse_qs(body.decode(), strict_parsing=True).items()}
        with self.lock:
            status, answer = self._exchanged(said)
        self.before()
        plain(asked, json.dumps(answer).encode(), status)

    def _exchanged(self, said: dict[str, str]) -> tuple[int, dict[str, object]]:
        self.asked.append(said)
        if self.failing:
            return self.failing, {"error": "server_error"}
        good = {self.refresh, self.last} if self.forgiving else {self.refresh}
        if said.get("grant_type") != "refresh_token" or said.get("client_id") != CLIENT:
            return 400, {"error": "invalid_request"}
        if said.get("refresh_token") not in good:
            return 400, {"error": "invalid_grant", "error_description": f"not {self.refresh}"}
        number = next(self.numbers)
        access = f"at-canary-0123456789abcdef-{number}"
        self.given[access] = time.time() + self.lasts
        answer: dict[str, object] = {"access_token": access, "expires_in": self.lasts, "token_type": "Bearer"}
        if self.rotates:
            self.last, self.refresh = self.refresh, f"rt-canary-0123456789abcdef-{number}"
            answer["refresh_token"] = self.refresh
        return 200, answer

    def guard(self, model: Upstream) -> None:
        """Let a model service answer those alone who show a token that counts."""

        def answer(asked: BaseHTTPRequestHandler) -> None:
            token = asked.headers.get("authorization", "").removeprefix("Bearer ")
            if self.given.get(token, 0) > time.time():
                plain(asked, USAGE)
            else:
                plain(asked, b'{"type": "error", "error": {"type": "authentication_error"}}', 401)

        model.answer = answer


@contextmanager
def giving_tokens() -> Iterator[TokenService]:
    """A token service on loopback."""
    service = TokenService()
    with playing() as server:
        server.answer = lambda asked: service.answer(asked, server.seen[-1].body)
        service.url = f"{server.url}/token"
        yield service
