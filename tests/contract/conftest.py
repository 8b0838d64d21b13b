"""The real parts that several modules talk to: a gateway process, a service behind it, a box's socket."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.gateway.client import Gateway
from tests.contract.fake_night import Place
from tests.contract.gateway_service import Upstream, granted, playing, running
from tests.contract.world import NAME, PUBLIC, World


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """One gateway process, whose log must hold neither the key nor a failure of its own in the end."""
    with running(tmp_path_factory.mktemp("gateway") / "home") as made:
        yield made


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    """The service."""
    with playing() as made:
        yield made


@pytest.fixture
def folder(gateway: Gateway, upstream: Upstream) -> Iterator[Path]:
    """The directory of the socket of a box that may ask the service."""
    with granted(gateway, upstream) as made:
        yield made


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A world outside in which one name is known."""
    return World(tmp_path, {NAME: [[PUBLIC]]})


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """Where a night takes place; what is left there at its end fails the test."""
    tell = threading.excepthook

    def unless_it_exits(thrown: threading.ExceptHookArgs) -> None:
        """As Python does by itself, and pytest does not: a thread may exit."""
        if thrown.exc_type is not SystemExit:
            tell(thrown)

    monkeypatch.setattr(threading, "excepthook", unless_it_exits)
    made = Place(tmp_path)
    yield made
    assert made.leftovers() == []
