"""Looks every few seconds at how the accounts stand that a run asks, in a thread of its own.

The gateway may be slow to answer; the run goes on meanwhile.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping

from runner.errors import CorralError
from runner.gateway.client import Gateway
from runner.gateway.grants import Outlook, Sum
from runner.tasks.plan import Plan, Spent

EVERY = 3.0
"""Seconds between two looks."""


class Lookout:
    """How the accounts stood when that was last asked; nothing where there is nobody to ask.

    Leave the context before the gateway is asked to leave: a look would start it again.
    """

    def __init__(self, gateway: Gateway | None, plan: Plan) -> None:
        """Look at nothing yet.

        Args:
            gateway: Who is asked; None for nobody.
            plan: The run's, whose budgets are looked at, if it has any.
        """
        self._gateway = gateway
        self._run = plan.run if plan.budget.caps() else None
        self._spent: dict[Spent, Sum] = {}
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look, name="lookout", daemon=True)
        self._seen: tuple[Outlook, ...] = ()

    @property
    def outlooks(self) -> tuple[Outlook, ...]:
        """What was seen last."""
        return self._seen

    @property
    def spent(self) -> Mapping[Spent, Sum]:
        """What was spent in the run's books when that was last seen, by whose they are."""
        return self._spent

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
            if self._run is not None:
                self._spent = spent_of(self._gateway, self._run, self._spent)


def spent_of(gateway: Gateway, run: str, otherwise: dict[Spent, Sum]) -> dict[Spent, Sum]:
    """What was spent in the books that a run's boxes share; what was known `otherwise`, if nobody tells."""
    try:
        ours = [one.spent for one in gateway.standings() if one.account.run == run]
    except CorralError:
        return otherwise
    return ours[0] if ours else otherwise


def look(gateway: Gateway, otherwise: tuple[Outlook, ...] = ()) -> tuple[Outlook, ...]:
    """How the accounts stand; what was known `otherwise`, where the gateway can't be asked."""
    try:
        return tuple(gateway.outlooks())
    except CorralError:
        return otherwise
