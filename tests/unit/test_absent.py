"""An engine that does not answer: why, and what to do, told apart by real sockets and files."""

from __future__ import annotations

import errno
import gc
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.errors import EngineError
from runner.sandbox import absent
from runner.sandbox.engine import Engine

NOBODY = 65534


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """Where an engine's socket would be."""
    yield tmp_path / "docker.sock"
    gc.collect()  # the Docker library leaves the socket of a failed connection to the collector


def said(place: Path) -> EngineError:
    with pytest.raises(EngineError) as caught:
        Engine({"DOCKER_HOST": f"unix://{place}"}, timeout=5)
    return caught.value


pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.mark.parametrize(
    ("there", "words", "cure"),
    [(True, "installed and not running", "start it"), (False, "not installed here", "install Docker")],
)
def test_without_a_socket_it_is_not_installed_or_not_running(
    there: bool, words: str, cure: str, place: Path
) -> None:
    found = absent.explain(
        {"DOCKER_HOST": f"unix://{place}"}, FileNotFoundError(errno.ENOENT, "no"), "no", lambda _: there
    )
    assert words in found[0]
    assert cure in found[1]


def test_the_real_library_leads_to_that_too(place: Path) -> None:
    assert "installed" in said(place).message


def test_a_socket_on_which_nobody_listens_has_been_left(place: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(place))
    error = said(place)
    assert "Docker has stopped" in error.message
    assert "systemctl start docker" in str(error.cure)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another")
def test_a_socket_of_a_group_that_one_is_not_in(place: Path) -> None:
    with socket.socket(socket.AF_UNIX) as engine:
        engine.bind(str(place))
        engine.listen()
        place.chmod(0o600)
        for folder in (place.parent, *place.parent.parents[:-1]):
            folder.chmod(folder.stat().st_mode | 0o011)
        os.seteuid(NOBODY)
        try:
            error = said(place)
        finally:
            os.seteuid(0)
    assert error.message == f"no container engine answers: you may not use {place}"
    assert "usermod -aG docker" in str(error.cure)


def test_an_engine_elsewhere_is_a_matter_of_docker_host() -> None:
    found = absent.explain({"DOCKER_HOST": "tcp://127.0.0.1:1"}, OSError(), "connection refused")
    assert found[0] == "connection refused (DOCKER_HOST is tcp://127.0.0.1:1)"
    assert "DOCKER_HOST" in found[1]
