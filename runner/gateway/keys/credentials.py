"""The credentials of the gateway's process: each read from its source when needed, and then held.

However many requests want one at once, it is read once. A file is looked at again every second, so that a new
key in it is used at once. What a program or the keyring gave is held until a service refuses it. A login is
refreshed ahead of its end (`renewal`). What is held is shown to nobody but the service.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from pydantic import SecretStr

from runner.accounts import FromCommand, FromFile, FromKeyring, FromLogin, Shown, Source
from runner.gateway.grants import Service
from runner.gateway.keys import sources
from runner.gateway.keys.renewal import Renewal
from runner.gateway.keys.sources import CredentialError

log = logging.getLogger(__name__)

LOOK = 1.0
"""Seconds after which a file, or a login, is looked at again."""

AGAIN = 5.0
"""Seconds after which a program or the keyring is asked again, once its key was refused or it gave none."""

ProxyFor = Callable[[str], str | None]


class _Reader(Protocol):
    look: float
    """Seconds after which what is held is looked at again."""
    again: float
    """Seconds between two readings, where the first gave nothing that counts."""

    async def read(self, refused: SecretStr | None) -> SecretStr:
        """The credential as it is now; `refused` is one that the service did not take."""

    @property
    def problem(self) -> str:
        """What is wrong though there is a credential."""

    @property
    def expires_at(self) -> float | None:
        """When the credential expires, if that is known."""


class _File:
    look = again = LOOK
    problem = ""
    expires_at = None

    def __init__(self, source: FromFile) -> None:
        self._source = source
        self._held: tuple[SecretStr, sources.Stamp] | None = None

    async def read(self, refused: SecretStr | None) -> SecretStr:
        if self._held is not None and refused is None:
            key, before = self._held
            if await asyncio.to_thread(sources.stamp, self._source.path) == before:
                return key
        text, now = await sources.from_file(self._source)
        self._held = SecretStr(text), now
        return self._held[0]


class _Printed:
    look = float("inf")
    again = AGAIN
    problem = ""
    expires_at = None

    def __init__(self, source: FromCommand | FromKeyring, environment: Mapping[str, str]) -> None:
        self._source = source
        self._environment = environment

    async def read(self, refused: SecretStr | None) -> SecretStr:  # noqa: ARG002 - it is asked anew anyway
        return SecretStr(await sources.read(self._source, self._environment))


class _Login(Renewal):
    look = again = LOOK


class _Keeper:
    """Holds one credential, and has it read by one task at a time, which no request's end cuts off."""

    def __init__(self, source: Source, reader: _Reader) -> None:
        self.source = source
        self.reader = reader
        self._secret: SecretStr | None = None
        self._failure: CredentialError | None = None
        self._refused: SecretStr | None = None
        self._read_at = float("-inf")
        self._reading: asyncio.Task[None] | None = None

    @property
    def problem(self) -> str:
        return str(self._failure) if self._failure is not None else self.reader.problem

    async def get(self) -> SecretStr:
        if self._reading is None and time.monotonic() - self._read_at >= self._patience():
            self._reading = asyncio.create_task(self._read())
        if self._reading is not None:
            await asyncio.shield(self._reading)
        if self._secret is None:
            why = self._failure or CredentialError("it was not read")
            raise CredentialError(str(why), why.cure)  # one of its own for each who waits
        return self._secret

    def _patience(self) -> float:
        held = self._secret is not None and self._refused is None
        return self.reader.look if held else self.reader.again

    async def _read(self) -> None:
        refused, self._refused = self._refused, None
        failure = None
        try:
            self._secret = await self.reader.read(refused)
        except CredentialError as error:
            self._secret, failure = None, error
        except Exception:
            log.exception("a credential could not be read")
            self._secret, failure = None, CredentialError("reading it failed; the gateway's log says why")
        finally:
            self._read_at = time.monotonic()
            self._reading = None
        if failure is not None and str(failure) != self.problem:
            log.warning("no credential from %s: %s", self.source, failure)
        self._failure = failure

    def refuse(self, secret: SecretStr) -> None:
        if self._secret == secret:
            self._refused = secret

    async def finish(self) -> None:
        if self._reading is not None:
            if not isinstance(self.reader, _Login):
                self._reading.cancel()  # a program may wait for a person; nothing is lost with it
            await asyncio.wait([self._reading])


class Credentials:
    """All credentials that this process reads.

    Args:
        home: The state directory, for logins.
        proxy_for: By which proxy an address is reached, for refreshing logins.
        environment: What programs and the keyring get of it is listed in `sources.ENVIRONMENT`.
        clock: Seconds since the epoch.
    """

    def __init__(
        self,
        home: Path,
        proxy_for: ProxyFor,
        environment: Mapping[str, str],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._home = home
        self._proxy_for = proxy_for
        self._environment = environment
        self._clock = clock
        self._keepers: dict[str | Source, _Keeper] = {}
        self._used: dict[tuple[str, str], _Keeper] = {}

    async def with_secret(self, service: Service) -> Service:
        """The service with the credential that counts now.

        Raises:
            CredentialError: There is none to be had.
        """
        if service.credential is None:
            return service
        keeper = self._keeper(service.credential)
        self._used[service.dialect, service.account] = keeper
        return service.model_copy(update={"secret": await keeper.get()})

    def refused(self, service: Service) -> None:
        """Note that the service did not take this credential: before the next request it is read again."""
        if service.credential is not None:
            self._keeper(service.credential).refuse(service.secret)

    async def renewed(self, service: Service, refused: str) -> Service | None:
        """The service with another credential than the one refused, if there is one by now.

        To be called again and again until there is: sources are asked no oftener than they bear.
        """
        if service.credential is None:
            return None
        self._keeper(service.credential).refuse(SecretStr(refused))
        try:
            now = await self.with_secret(service)
        except CredentialError:
            return None
        return None if now.secret.get_secret_value() == refused else now

    def shown(self) -> list[Shown]:
        """How every account stands that was asked for so far."""
        return [
            Shown(
                provider=provider,
                account=account,
                source=str(keeper.source),
                problem=keeper.problem,
                expires_at=keeper.reader.expires_at,
            )
            for (provider, account), keeper in sorted(self._used.items())
        ]

    async def finish(self) -> None:
        """End what is being read; a login that is being refreshed is waited for, and written down."""
        for keeper in self._keepers.values():
            await keeper.finish()

    def _keeper(self, source: Source) -> _Keeper:
        # A login has one owner, also where its token service is another one from now on.
        key = source.account if isinstance(source, FromLogin) else source
        keeper = self._keepers.get(key)
        if keeper is None:
            keeper = self._keepers[key] = _Keeper(source, self._reader(source))
        if isinstance(source, FromLogin) and isinstance(keeper.reader, _Login):
            keeper.reader.source = source
        return keeper

    def _reader(self, source: Source) -> _Reader:
        if isinstance(source, FromFile):
            return _File(source)
        if isinstance(source, FromLogin):
            return _Login(self._home, source, self._proxy_for, self._clock)
        return _Printed(source, self._environment)
