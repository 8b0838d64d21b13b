"""What a command left of one state directory, whatever else goes on on the host."""

from __future__ import annotations

import os
import time
from pathlib import Path

from runner import names
from runner.sandbox.engine import Engine
from tests.support import _processes_of, loops_of

PATIENCE = 10.0
"""Seconds in which a gateway that nobody needs any more has left."""


def left(home: Path) -> list[str]:
    """Containers, volumes, loop devices, mounts and processes of a state directory and its `selfcheck`."""
    until = time.monotonic() + PATIENCE
    while _processes_of(home) and time.monotonic() < until:
        time.sleep(0.1)
    found = [f"process {pid}" for pid in _processes_of(home)]
    with Engine(dict(os.environ)) as engine:
        for place in (home, home / "selfcheck"):
            ours = names.label_filters(names.home_id(str(place)))
            found += [f"container {box.name}" for box in engine.find(ours)]
            found += [f"volume {name}" for name in engine.find_volumes(ours)]
    found += [f"loop device on {name}" for place in (home, home / "selfcheck") for name in loops_of(place)]
    mounts = Path("/proc/self/mounts").read_text().splitlines()
    return found + [f"mount {line}" for line in mounts if str(home) in line]
