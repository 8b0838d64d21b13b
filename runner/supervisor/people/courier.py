"""Sends messages: each in a thread and a process of its own, within a time, so that nothing waits for it."""

from __future__ import annotations

import asyncio
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from runner.accounts import FromCommand, FromEnvironment, FromFile, FromKeyring
from runner.gateway.client import PASSED_ON
from runner.gateway.keys import sources
from runner.gateway.keys.sources import CredentialError
from runner.recipients import Recipient

PATIENCE = 40.0
"""Seconds that a message may take in all: a service's own time, and a machine that is busy."""

PROGRAM = Path(__file__).with_name("post.py")


@dataclass(frozen=True)
class Message:
    """What is sent."""

    title: str
    body: str
    urgent: bool = False


class Courier:
    """Sends in the background; what became of it is to be had from `arrived`."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        """`environment` is what the senders, and the programs that tell URLs, get some of."""
        self._environment = environment
        self._done: queue.SimpleQueue[tuple[str, str]] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._senders: set[subprocess.Popen[bytes]] = set()
        self._closed = False

    def send(self, recipient: Recipient, message: Message) -> None:
        """Begin to send."""
        name = f"tell-{recipient.name}"
        threading.Thread(target=self._send, args=(recipient, message), name=name, daemon=True).start()

    def arrived(self, patience: float = 0.0) -> list[tuple[str, str]]:
        """What was sent, or could not be, since the last time: each recipient's name, and the problem.

        Args:
            patience: Seconds to wait for the first of them.
        """
        found: list[tuple[str, str]] = []
        with suppress(queue.Empty):
            found.append(self._done.get(timeout=patience) if patience else self._done.get_nowait())
            while True:
                found.append(self._done.get_nowait())
        return found

    def close(self) -> None:
        """End what is still being sent."""
        with self._lock:
            self._closed = True
            for sender in self._senders:
                _kill(sender)

    def _send(self, recipient: Recipient, message: Message) -> None:
        try:
            problem = self.deliver(recipient, message)
        except Exception as error:  # whatever it is, nobody's night ends by it
            problem = f"a bug in Corral: {type(error).__name__}"
        self._done.put((recipient.name, problem))

    def deliver(self, recipient: Recipient, message: Message | None) -> str:
        """Send a message, or only look whether it could be (None); returns the problem, empty for none."""
        try:
            url = self._url(recipient)
        except CredentialError as lacking:
            return str(lacking)
        sent = message or Message("", "")
        asked = {"url": url, "title": sent.title, "body": sent.body}
        return self._post(json.dumps(asked | {"urgent": sent.urgent, "send": message is not None}).encode())

    def _url(self, recipient: Recipient) -> str | None:
        """Where it goes; None for the desktop.

        Raises:
            CredentialError: It can't be read.
        """
        source = recipient.source
        if isinstance(source, FromEnvironment):
            if recipient.secret is None:
                raise CredentialError(f"{source} is not set", f"set {source}, where you run Corral")
            return recipient.secret.get_secret_value()
        if isinstance(source, FromFile | FromCommand | FromKeyring):
            return asyncio.run(sources.read(source, self._environment))
        return None

    def _post(self, asked: bytes) -> str:
        known = {name: self._environment[name] for name in PASSED_ON if name in self._environment}
        with self._lock:
            if self._closed:
                return "it was not sent before the run ended"
            sender = subprocess.Popen(
                [sys.executable, "-P", str(PROGRAM)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,  # it may say more than is meant for a log
                env=known,
                cwd="/",
                start_new_session=True,
            )
            self._senders.add(sender)
        try:
            said, _ = sender.communicate(asked, timeout=PATIENCE)
            return str(json.loads(said)["problem"])
        except subprocess.TimeoutExpired:
            return f"it took more than {PATIENCE:.0f} s"
        except (OSError, ValueError, KeyError):
            return f"its sender ended with {sender.poll()}"
        finally:
            _kill(sender)
            sender.communicate()
            with self._lock:
                self._senders.discard(sender)


def _kill(sender: subprocess.Popen[bytes]) -> None:
    """End a sender with all that it started."""
    if sender.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(sender.pid, signal.SIGKILL)
