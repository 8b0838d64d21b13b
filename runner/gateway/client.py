"""The supervisor's side of the gateway: starts it when needed and asks it things.

Blocking, safe to use from many threads, one connection a call. If the gateway process has died, the
next call starts another, and gives it all grants of this client again with what they had used.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue, TypeAdapter

import runner
from runner.accounts import Shown
from runner.errors import CorralError, HostError
from runner.gateway import sockets
from runner.gateway.grants import Access, Account, Outlook, Standing, Usage
from runner.gateway.keys.sources import ENVIRONMENT
from runner.gateway.places import ADMIN_SOCKET, LOG, PROTOCOL, START_LOCK, box_folder, own_folder
from runner.locks import locked
from runner.tasks.plan import AllowedHost, Hosted

CALL_TIMEOUT = 15.0
START_TIMEOUT = 25.0
"""Seconds; a loaded machine needs some for the imports, and an old process some to leave."""

PASSED_ON = (
    "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
    "SSL_CERT_FILE", "SSL_CERT_DIR",
    *ENVIRONMENT,
)  # fmt: skip
"""The only variables that the gateway process gets: how to reach the model services, and what the programs
need that give it credentials."""

Json = dict[str, JsonValue]
STANDING: TypeAdapter[list[Standing]] = TypeAdapter(list[Standing])
OUTLOOKS: TypeAdapter[list[Outlook]] = TypeAdapter(list[Outlook])
SHOWN: TypeAdapter[list[Shown]] = TypeAdapter(list[Shown])


class _Connection(http.client.HTTPConnection):
    def __init__(self, folder: Path) -> None:
        super().__init__("gateway", timeout=CALL_TIMEOUT)
        self._folder = folder

    def connect(self) -> None:
        self.sock: socket.socket = sockets.connect(self._folder, ADMIN_SOCKET, CALL_TIMEOUT)


class _Gone(Exception):  # noqa: N818 - not an error to anyone but `_call`, which then starts the gateway
    pass


class _NoGrantError(HostError):
    pass


@dataclass(frozen=True)
class _Granted:
    accesses: tuple[Access, ...]
    hosts: tuple[AllowedHost, ...]
    hosted: tuple[Hosted, ...]
    account: Account


class Gateway:
    """The gateway process of one state directory."""

    def __init__(self, home: Path, idle: float, environment: Mapping[str, str]) -> None:
        self._home = home
        self._idle = idle
        self._environment = {name: environment[name] for name in PASSED_ON if name in environment}
        self._lock = threading.Lock()
        self._order = threading.RLock()  # so that no grant is renewed while it is being revoked
        self._granted: dict[str, _Granted] = {}
        self._seen: dict[str, Usage] = {}

    @classmethod
    def ensure(
        cls, home: Path, *, idle: float = 60.0, environment: Mapping[str, str] | None = None
    ) -> Gateway:
        """The gateway of a state directory, started if it does not run yet.

        Args:
            home: The state directory.
            idle: Seconds without grants and requests after which a gateway started here leaves.
            environment: Where proxy and certificate settings (`PASSED_ON`) are taken from.

        Raises:
            HostError: It can't be started, or one of another version runs and is in use.
        """
        gateway = cls(home.absolute(), idle, environment or {})
        gateway._start()
        return gateway

    def grant(
        self,
        box: str,
        *accesses: Access,
        hosts: tuple[AllowedHost, ...] = (),
        hosted: tuple[Hosted, ...] = (),
        account: Account | None = None,
    ) -> Path:
        """Let a box ask these, and through to these hosts.

        A box that has a grant keeps its counters and gets the new accesses and hosts.

        Args:
            box: Twelve hex digits.
            accesses: Who answers it, in which dialect.
            hosts: What it is let through to.
            hosted: What it may have the services do besides answering.
            account: In whose name it asks, and what may be spent; by default in its own, without caps.

        Returns:
            The directory of its socket `gw.sock`, to be mounted into this one box.
        """
        folder = box_folder(self._home, box)
        with self._lock:
            self._granted[box] = _Granted(accesses, hosts, hosted, account or Account(attempt=box))
        self._call("PUT", box, self._grant_body(box))
        return folder

    def usage(self, box: str) -> Usage:
        """What a box has used so far."""
        return self._noted(box, self._call("GET", box))

    def revoke(self, box: str) -> Usage:
        """Take a box's grant away and cut it off; returns its last usage, or none if it never had one."""
        with self._order:
            with self._lock:
                self._granted.pop(box, None)
                seen = self._seen.pop(box, Usage())
            try:
                return Usage.model_validate(self._call("DELETE", box))
            except _NoGrantError:
                return seen

    @classmethod
    def look(cls, home: Path) -> tuple[int, list[Standing]] | None:
        """The process that serves a state directory, and how its grants stand; None if none does.

        Raises:
            HostError: It does not answer, or is of another version.
        """
        gateway = cls(home.absolute(), 0, {})
        try:
            status, said = gateway._ask("GET", "/grants", None)
        except _Gone:
            return None
        if status != 200:
            raise HostError("a gateway of another version of Corral runs", cure="wait for its runs to end")
        return int(str(said["pid"])), STANDING.validate_python(said["grants"])

    def standings(self) -> list[Standing]:
        """How all grants stand, those of other clients too; none where no process serves them.

        Raises:
            HostError: As `look`.
        """
        found = self.look(self._home)
        return [] if found is None else found[1]

    def outlooks(self) -> list[Outlook]:
        """How every account stands that was asked anything, or whose window is used up."""
        try:
            said = self._ask("GET", "/outlook", None)[1]
        except _Gone:
            self._revive()
            said = self._ask_living("GET", "/outlook", None)[1]
        return OUTLOOKS.validate_python(said["outlooks"])

    @classmethod
    def look_ahead(cls, home: Path) -> list[Outlook] | None:
        """The same of the process that serves a state directory; None if none does.

        Raises:
            HostError: It does not answer, or is of another version.
        """
        try:
            gateway = cls(home.absolute(), 0, {})
            status, said = gateway._ask("GET", "/outlook", None)
        except _Gone:
            return None
        if status != 200:
            raise HostError("a gateway of another version of Corral runs", cure="wait for its runs to end")
        return OUTLOOKS.validate_python(said["outlooks"])

    @classmethod
    def credentials(cls, home: Path) -> list[Shown]:
        """How the credentials stand that the process of a state directory was asked for."""
        try:
            gateway = cls(home.absolute(), 0, {})
            status, said = gateway._ask("GET", "/credentials", None)
        except _Gone:
            return []
        return SHOWN.validate_python(said) if status == 200 else []

    @classmethod
    def stop(cls, home: Path) -> bool:
        """End the process of a state directory, unless a grant is left; whether none runs any more."""
        return cls(home.absolute(), 0, {}).leave()

    def leave(self) -> bool:
        """Ask the process to leave; whether it did. It stays while any grant is left."""
        try:
            said = self._ask("POST", "/leave", None)[1]
            if not said.get("leaving"):
                return False
            return self._wait_until_gone()
        except _Gone:
            return True

    def _wait_until_gone(self) -> bool:
        deadline = time.monotonic() + CALL_TIMEOUT
        while time.monotonic() < deadline:
            self._ask("GET", "/hello", None)
            time.sleep(0.02)
        return False

    def _noted(self, box: str, said: Json) -> Usage:
        usage = Usage.model_validate(said)
        with self._lock:
            self._seen[box] = usage
        return usage

    def _call(self, method: str, box: str, body: Json | None = None) -> Json:
        try:
            status, said = self._ask(method, f"/grants/{box}", body)
        except _Gone:
            self._revive()
            status, said = self._ask_living(method, f"/grants/{box}", body)
        if status == 404 and box in self._granted:
            # Somebody else has started the gateway anew.
            self._regrant()
            status, said = self._ask_living(method, f"/grants/{box}", body)
        if status == 404:
            raise _NoGrantError(f"the gateway knows of no grant for box {box}")
        if status != 200:
            raise HostError(f"the gateway refused {method} for box {box}: {said.get('problem')}")
        return said

    def _revive(self) -> None:
        self._start()
        self._regrant()

    def _regrant(self) -> None:
        with self._order:
            for box in list(self._granted):  # one that can't be renewed is its own attempt's trouble alone
                with contextlib.suppress(HostError):
                    self._ask_living("PUT", f"/grants/{box}", self._grant_body(box))

    def _grant_body(self, box: str) -> Json:
        with self._lock:
            before = self._seen.get(box, Usage())
            granted = self._granted[box]
            return {
                "accesses": [access.wire() for access in granted.accesses],
                "hosts": [host.model_dump(mode="json") for host in granted.hosts],
                "hosted": [*granted.hosted],
                "before": before.model_dump(mode="json"),
                "account": granted.account.model_dump(mode="json"),
            }

    def _ask_living(self, method: str, path: str, body: Json | None) -> tuple[int, Json]:
        try:
            return self._ask(method, path, body)
        except _Gone as gone:
            raise self._failure("the gateway process died again right after its start") from gone

    def _ask(self, method: str, path: str, body: Json | None) -> tuple[int, Json]:
        connection = _Connection(own_folder(self._home))
        try:
            connection.request(method, path, None if body is None else json.dumps(body))
            answer = connection.getresponse()
            said = json.loads(answer.read())
        except TimeoutError as late:
            raise self._failure(f"the gateway has not answered for {CALL_TIMEOUT:.0f} s") from late
        except (OSError, http.client.HTTPException, ValueError) as failure:
            raise _Gone from failure
        finally:
            connection.close()
        if answer.status == 503:
            raise _Gone  # it is on its way out
        return answer.status, said

    def _start(self) -> None:
        if self._answers():
            return
        try:
            own_folder(self._home).mkdir(mode=0o700, parents=True, exist_ok=True)
            with locked(own_folder(self._home) / START_LOCK):
                if not self._answers():
                    self._spawn()
        except OSError as failure:
            raise HostError(
                f"the gateway can't be started in {self._home}: {failure}",
                cure="let CORRAL_HOME name a directory that you may write to",
            ) from failure

    def _answers(self) -> bool:
        try:
            _, said = self._ask("GET", "/hello", None)
        except _Gone:
            return False
        if said.get("protocol") == PROTOCOL or self.leave() is False:
            return self._same_protocol(said)
        return False

    def _same_protocol(self, said: Json) -> bool:
        if said.get("protocol") == PROTOCOL:
            return True
        raise HostError(
            f"a gateway of another version of Corral (process {said.get('pid')}) is in use",
            cure="wait for its runs to end, or end them with the version that started them",
        )

    def _spawn(self) -> None:
        ready, theirs = os.pipe()
        try:
            try:
                self._run(theirs)
            except subprocess.SubprocessError as error:
                raise self._failure("the gateway process could not be started") from error
            finally:
                os.close(theirs)
            wait = select.poll()  # select would fail on descriptors above 1023
            wait.register(ready, select.POLLIN)
            if not wait.poll(START_TIMEOUT * 1000) or os.read(ready, 1) != b"1":
                raise self._failure("the gateway process did not start")
        finally:
            os.close(ready)

    def _run(self, ready: int) -> None:
        package = Path(runner.__file__).parent.parent
        command = [sys.executable, "-P", "-m", "runner.gateway", "--detach"]
        command += ["--home", str(self._home), "--idle", str(self._idle), "--ready-fd", str(ready)]
        private = os.open(self._log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        with os.fdopen(private, "ab") as log:
            subprocess.run(
                command,
                check=True,
                cwd="/",
                env={**self._environment, "PYTHONPATH": str(package)},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                pass_fds=(ready,),
                start_new_session=True,
                timeout=START_TIMEOUT,
            )

    @property
    def _log(self) -> Path:
        return own_folder(self._home) / LOG

    def _failure(self, message: str) -> CorralError:
        try:
            tail = self._log.read_text(errors="replace")[-2000:].strip()
        except OSError:
            tail = ""
        return HostError(f"{message}\n{tail}".rstrip(), cure=f"look into {self._log}")
