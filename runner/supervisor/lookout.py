"""Looks every few seconds at how the accounts stand that a run asks, in a thread of its own.

The gateway may be slow to answer; the run goes on meanwhile.
"""

from __future__ import annotations

import threading

from runner.errors import CorralError
from runner.gateway.client import Gateway
from runner.gateway.grants import Outlook

EVERY = 3.0
"""Seconds between two looks."""


class Lookout:
    """How the accounts stood when that was last asked; nothing where there is nobody to ask.

    Leave the context before the gateway is asked to leave: a look would start it again.
    """

    def __init__(self, gateway: Gateway | None) -> None:
        self._gateway = gateway
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look, name="lookout", daemon=True)
        self._seen: tuple[Outlook, ...] = ()

    @property
    def outlooks(self) -> tuple[Outlook, ...]:
        """What was seen last."""
        return self._seen

    def __enter__(self) -> Lookout:
        if self._gateway is not None:
            self._seen = look(self._gateway)  # nothing is started before it is known what is closed
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _look(self) -> None:
        while self._gateway is not None and not self._done.wait(EVERY):
            self._seen = look(self._gateway, self._seen)


def look(gateway: Gateway, otherwise: tuple[Outlook, ...] = ()) -> tuple[Outlook, ...]:
    """How the accounts stand; what was known `otherwise`, where the gateway can't be asked."""
    try:
        return tuple(gateway.outlooks())
    except CorralError:
        return otherwise
