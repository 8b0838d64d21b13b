"""Where the gateway's files lie under the state directory, and how its two sides know each other."""

from __future__ import annotations

import re
from pathlib import Path

from runner.names import AttemptKey, is_id

PROTOCOL = 5
"""Of the admin socket; changes when an older client or gateway could not understand a newer one."""

SOCKET = "gw.sock"
"""The socket's name in the directory that is mounted into the box."""

ADMIN_SOCKET = "admin.sock"
SCRIPT_SOCKET = "script.sock"
LOCK = "gateway.lock"
START_LOCK = "start.lock"
LOG = "gateway.log"
LEFT = "left.json"
EGRESS_LOG = "egress.log"

_BOX = re.compile(r"[0-9a-f]{12}")


def own_folder(home: Path) -> Path:
    """The directory of the gateway's private sockets, its locks and its log."""
    return home / "g"


def box_folder(home: Path, box: str) -> Path:
    """The directory of a box's socket.

    Raises:
        ValueError: `box` is not twelve hex digits.
    """
    if _BOX.fullmatch(box) is None:
        raise ValueError(f"not a box id: {box[:40]!r}")
    return home / "s" / box


def recordings(home: Path, run: str) -> Path:
    """The directory of a run's recordings.

    Raises:
        ValueError: `run` is no run's name.
    """
    if not is_id(run):
        raise ValueError(f"not a run's name: {run[:80]!r}")
    return home / "runs" / run / "model"


def recording_name(key: AttemptKey) -> str:
    """What the recording of an attempt is called in a directory of them."""
    return f"{str(key).replace('/', '+')}.jsonl"


def recording_file(home: Path, run: str, attempt: str) -> Path:
    """The recording of an attempt.

    Raises:
        ValueError: These are no names of a run and an attempt.
    """
    return recordings(home, run) / recording_name(AttemptKey.parse(attempt))
