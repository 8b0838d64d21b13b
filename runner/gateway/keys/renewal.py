"""Keeps one login fresh: the only place where a refresh token is spent."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from pydantic import SecretStr

from runner.accounts import FromLogin
from runner.gateway.keys import logins, oauth
from runner.gateway.keys.logins import Login
from runner.gateway.keys.oauth import RefreshError
from runner.gateway.keys.sources import CredentialError

log = logging.getLogger(__name__)

AGAIN = 60.0
"""Seconds between two refreshes: also after one that failed, so that no token service is beleaguered."""


class Renewal:
    """One account's login: what the model service is shown, and when that was last refreshed.

    Not for two at once: `credentials.Credentials` has one reading under way at a time.
    """

    def __init__(
        self,
        home: Path,
        source: FromLogin,
        proxy_for: Callable[[str], str | None],
        clock: Callable[[], float],
    ) -> None:
        self._home = home
        self.source = source
        self._proxy_for = proxy_for
        self._clock = clock
        self._not_before = 0.0
        self._spent: SecretStr | None = None
        """The refresh token that `_not_before` is said of."""
        self._unwritten: tuple[Login, Login] | None = None
        """A login that could not be written down yet, and the one that it is to take the place of."""
        self.problem = ""
        self.expires_at: float | None = None

    async def read(self, refused: SecretStr | None) -> SecretStr:
        """The access token that counts, refreshed if it is time, or if it is the one that was refused.

        Raises:
            CredentialError: There is none, or it has expired and could not be refreshed.
        """
        login = await self._current()
        now = self._clock()
        wanted = login.is_due(now) or (refused is not None and login.access_token == refused)
        if wanted and (now >= self._not_before or login.refresh_token != self._spent):
            login = await self._refreshed(login)
        elif not wanted and self._unwritten is None:
            self.problem = ""
        self.expires_at = login.expires_at
        if login.access_token is None or login.is_over(self._clock()):
            cure = f"corral gateway login {self.source.account}"
            raise CredentialError(self.problem or "the login has expired", cure)
        return login.access_token

    async def _current(self) -> Login:
        if self._unwritten is not None:
            fresh, before = self._unwritten
            self._write(fresh, before)
        if self._unwritten is not None:
            return self._unwritten[0]
        return await asyncio.to_thread(logins.load, self._home, self.source.account)

    async def _refreshed(self, before: Login) -> Login:
        self._not_before, self._spent = self._clock() + AGAIN, before.refresh_token
        # What is noted here outlives our death between the service's answer and its being written down.
        asked = before.model_copy(update={"asked_at": self._clock()})
        try:
            if not await asyncio.to_thread(logins.save, self._home, self.source.account, asked, before):
                return await self._current()  # somebody has logged in just now
            fresh = await oauth.refresh(
                before, self.source, self._proxy_for(self.source.token_url), self._clock()
            )
        except OSError as error:
            self._tell(f"the login can't be written, and is not refreshed: {error.strerror}")
            return before
        except RefreshError as failure:
            self._tell(self._words(failure, before))
            with suppress(OSError):
                await self._unasked(failure, before)
            return before
        self._spent = fresh.refresh_token
        self._write(fresh, asked)  # at once, with nothing in between that could be interrupted
        log.info("refreshed the login of the account %s", self.source.account)
        return fresh

    async def _unasked(self, failure: RefreshError, before: Login) -> None:
        """Take the note back: the token service has said what it has to say."""
        if not failure.is_lost:
            await asyncio.to_thread(logins.save, self._home, self.source.account, before, before)

    def _write(self, fresh: Login, before: Login) -> None:
        """Write a fresh login down; what can't be written is kept in memory, and tried again."""
        try:
            logins.save(self._home, self.source.account, fresh, before)
        except OSError as error:
            self._unwritten = fresh, before
            self._tell(f"the refreshed login can't be written down: {error.strerror}")
        else:
            self._unwritten = None
            self.problem = ""

    def _words(self, failure: RefreshError, before: Login) -> str:
        if not failure.is_refused:
            return f"the login could not be refreshed: {failure}"
        if before.asked_at is not None:
            return "a refresh was cut off before its answer was written down, and the login counts no more"
        return f"the login counts no more: {failure}"

    def _tell(self, problem: str) -> None:
        if problem != self.problem:
            log.warning("account %s: %s", self.source.account, problem)
        self.problem = problem
