"""Tests with a real engine: the command runs as a process, on real repositories."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.locks import locked
from tests.support import Corral, Picture, make_repo, picture, tidy, write_tasks


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """A repository with one commit."""
    return make_repo(tmp_path / "repo")


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The images that every run needs: what is done for the first run on an engine is no test's own."""
    folder = tmp_path_factory.mktemp("prepared")
    file = write_tasks(folder / "t.yaml", make_repo(folder / "repo"), {"t": "true"})
    everybodys = folder.parent.parent if "PYTEST_XDIST_WORKER" in os.environ else folder.parent
    with locked(everybodys / "prepared.lock"):  # of the processes that tests are spread over, one builds
        done = Corral(folder / "home")("image", "build", file, timeout=550)
    assert done.code == 0, done.err


def left_behind(home: Path, before: Picture) -> list[str]:
    """What is new, after a while if need be: the kernel lets loop devices go in its own time."""
    until = time.monotonic() + 5
    while (new := picture(home).since(before)) and time.monotonic() < until:
        time.sleep(0.2)
    return new


@pytest.fixture
def corral(tmp_path: Path, prepared: None) -> Iterator[Corral]:  # noqa: ARG001 - only that it was done
    """The command with its own state directory; whatever it leaves behind fails the test."""
    home = tmp_path / "home"
    before = picture(home)
    yield Corral(home)
    if left := left_behind(home, before):
        tidy(home)
    assert left == []
    for folder in ("w", "q", "s"):
        left = sorted(path.name for path in (home / folder).glob("*")) if (home / folder).exists() else []
        assert left == [], f"{folder}/ was left with {left}"
