"""Tests with a real engine: the command runs as a process, on real repositories."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import Corral, Picture, make_repo, picture


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """A repository with one commit."""
    return make_repo(tmp_path / "repo")


def left_behind(home: Path, before: Picture) -> list[str]:
    """What is new, after a while if need be: the kernel lets loop devices go in its own time."""
    until = time.monotonic() + 5
    while (new := picture(home).since(before)) and time.monotonic() < until:
        time.sleep(0.2)
    return new


@pytest.fixture
def corral(tmp_path: Path) -> Iterator[Corral]:
    """The command with its own state directory; whatever it leaves behind fails the test."""
    home = tmp_path / "home"
    before = picture(home)
    yield Corral(home)
    assert left_behind(home, before) == []
    for folder in ("w", "q", "s"):
        left = sorted(path.name for path in (home / folder).glob("*")) if (home / folder).exists() else []
        assert left == [], f"{folder}/ was left with {left}"
