"""Why a check failed, as far as its end tells."""

from __future__ import annotations

import pytest

from runner.sandbox.engine import BoxState
from runner.supervisor.attempt.check import _judge


@pytest.mark.parametrize(
    ("code", "oom", "why"),
    [
        (1, False, "the check failed with exit 1"),
        (1, True, "the check failed with exit 1; the kernel killed a process of it at the memory limit"),
        (137, True, "the check was killed at the memory limit"),
        (137, False, "the check failed with exit 137: it was killed, as happens at the memory limit"),
        (127, False, "the check's command was not found (exit 127)"),
    ],
)
def test_why(code: int, oom: bool, why: str) -> None:
    ended = BoxState("c", "n", {}, "exited", code, oom, "", 0, 1.0, 2.0)
    told = _judge(ended, 1.0, ready=True)
    assert (told.check, told.reason, told.exit_code) == ("failed", why, code)
