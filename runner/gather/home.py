"""An agent's HOME, kept beyond its attempt and laid into a later one: packed and unpacked in boxes of ours.

It is what an agent wrote, so the host never looks into it: a container without rights, in which it is mounted
read-only, prints it as an archive, and another one, as the boxes' own user, lays it into the new HOME, whose
disk bounds what comes of it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from runner.errors import EngineError
from runner.sandbox.box import MIB, BoxSpec
from runner.sandbox.ended import see_end
from runner.sandbox.engine import Engine

LARGEST = 64 * MIB
"""Bytes of an archive. Conversations have a few MiB; what is far larger is no memory of an agent's."""

SECONDS = 60.0
"""How long packing or unpacking may take."""

ARCHIVE = "/run/corral/home.tar.gz"
"""Where the container that unpacks sees the archive."""

PACK = (
    *("tar", "-czf", "-", "--sparse", "--one-file-system", "--ignore-failed-read"),
    *("--exclude=./.cache", "--exclude=./.gitconfig", "--exclude=./.config/git"),
    *("-C", "/home/agent", "."),
)
"""What prints a HOME. What lies in `.cache` can be done without (XDG Base Directory Specification); so can
what the agent itself has locked. Git's settings are left out: the next box is laid out with ours."""

UNPACK = ("tar", "-xzf", ARCHIVE, "--no-same-owner", "-C", "/home/agent")
"""What lays it into a new HOME."""


def pack(engine: Engine, spec: BoxSpec, target: Path) -> bool:
    """Keep a HOME as an archive; returns whether it was small enough, and could be read.

    Args:
        engine: Where it runs.
        spec: The container, whose command is `PACK`.
        target: The archive, which is there whole or not at all.

    Raises:
        EngineError: The engine failed.
        OSError: The archive can't be written.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.part")
    try:
        with part.open("wb") as file:
            size = 0

            def keep(piece: bytes) -> bool:
                nonlocal size
                size += len(piece)
                file.write(piece[: max(0, LARGEST - size + len(piece))])
                return size <= LARGEST

            code = _run(engine, spec, keep)
        if code != 0 or size > LARGEST:
            return False
        part.chmod(0o644)  # read in a box; the state directory is the user's alone
        part.rename(target)
        return True
    finally:
        part.unlink(missing_ok=True)


def unpack(engine: Engine, spec: BoxSpec) -> None:
    """Lay an archive into a new HOME.

    Args:
        engine: Where it runs.
        spec: The container, whose command is `UNPACK`, with the archive mounted at `ARCHIVE`.

    Raises:
        EngineError: It could not be.
    """
    if _run(engine, spec, lambda _piece: True) != 0:
        raise EngineError("the HOME of the earlier try could not be laid out")


def _run(engine: Engine, spec: BoxSpec, take: Callable[[bytes], bool]) -> int:
    """Run a container to its end, which comes early if `take` does not want more; returns its exit code."""
    container = engine.create(spec)
    timer = threading.Timer(SECONDS, lambda: engine.kill(container))
    try:
        chunks = engine.attach(container)
        engine.start(container)
        timer.start()
        for out, _ in chunks:
            if out and not take(out):
                return -1
        state = see_end(engine, container)
    finally:
        timer.cancel()
        engine.remove(container)
    if state is None or state.exit_code is None:
        raise EngineError("the engine lost the container that packs a HOME")
    return state.exit_code
