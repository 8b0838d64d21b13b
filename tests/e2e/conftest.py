"""The real agent CLI, obtained as the product obtains it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from runner.sandbox import binaries
from runner.sandbox.images import host_platform
from tests.engine.conftest import corral, prepared  # noqa: F401 - the same fixtures serve here

NPM_ONLY = ("codex",)
"""Agent CLIs that are published for npm alone; tests whose names or parameters hold one need it."""

CACHE = Path(__file__).parents[2] / ".make" / "cache"


@pytest.fixture(scope="session")
def claude_binary() -> Path:
    """The pinned Claude Code binary; downloaded once and kept beside the checkout."""
    return binaries.fetch(binaries.pin("claude", host_platform()), CACHE) / "claude"


@pytest.fixture(scope="session")
def codex_binary() -> Path:
    """The pinned Codex, its parts beside it; downloaded once and kept beside the checkout."""
    return binaries.fetch(binaries.pin("codex", host_platform()), CACHE) / "bin" / "codex"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out, visibly, what this host has no means to fetch."""
    if shutil.which("npm") is not None:
        return
    for item in items:
        named = f"{item.nodeid} {getattr(item, 'fixturenames', ())}".lower()
        if "/e2e/" in named and any(cli in named for cli in NPM_ONLY):
            item.add_marker(pytest.mark.skip(reason="Codex is published for npm, and this host has none"))
