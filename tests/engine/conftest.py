"""Tests with a real engine: the command runs as a process, on real repositories."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import Corral, make_repo, picture


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """A repository with one commit."""
    return make_repo(tmp_path / "repo")


@pytest.fixture
def corral(tmp_path: Path) -> Iterator[Corral]:
    """The command with its own state directory; whatever it leaves behind fails the test."""
    home = tmp_path / "home"
    before = picture(home)
    yield Corral(home)
    after = picture(home)
    assert after == before, "something was left behind"
    for folder in ("w", "q", "s"):
        left = sorted(path.name for path in (home / folder).glob("*")) if (home / folder).exists() else []
        assert left == [], f"{folder}/ was left with {left}"
