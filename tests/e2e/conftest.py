"""The real agent CLI, obtained as the product obtains it."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.sandbox import binaries
from runner.sandbox.images import host_platform

CACHE = Path(__file__).parents[2] / ".make" / "cache"


@pytest.fixture(scope="session")
def claude_binary() -> Path:
    """The pinned Claude Code binary; downloaded once and kept beside the checkout."""
    return binaries.fetch(binaries.pin("claude", host_platform()), CACHE) / "claude"


@pytest.fixture(scope="session")
def codex_binary() -> Path:
    """The pinned Codex, its parts beside it; downloaded once and kept beside the checkout."""
    return binaries.fetch(binaries.pin("codex", host_platform()), CACHE) / "bin" / "codex"
