"""The gather container: reads an attempt's files, all mounted read-only, and prints one pack stream."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from runner.errors import EngineError
from runner.gather.policy import Refused
from runner.sandbox.box import MIB, BoxSpec
from runner.sandbox.ended import see_end
from runner.sandbox.engine import Engine

LARGEST = 1024 * MIB
HEADER = 90
LEFT = {
    "commits": "commits that HEAD does not hold (another branch, a tag, a stash)",
    "files": "files that could not be read, are larger than 50 MiB, or lie in a repository without a commit",
    "nested": "the files of repositories inside of the tree",
}
"""What may be left behind, by the words of `gather.sh`."""


@dataclass(frozen=True)
class RawWork:
    """What the gather container printed: untrusted until the quarantine has looked at it.

    Attributes:
        tip: The commit it names, 40 hex digits.
        kind: How the tip came about, in the words of `gather.sh`.
        pack: The file that holds the pack.
        left: What the tip lacks, as keys of `LEFT`.
    """

    tip: str
    kind: Literal["committed", "snapshot", "salvaged"]
    pack: Path
    left: tuple[str, ...] = ()


def read_out(engine: Engine, spec: BoxSpec, target: Path, seconds: float) -> RawWork:
    """Run a gather container to its end and keep what it prints.

    Args:
        engine: Where it runs.
        spec: The container, whose command is `gather.sh`.
        target: The file that the pack is written to.
        seconds: How long it may take.

    Raises:
        Refused: It took too long, printed too much, or did not print what it should: what a box left in
            its workspace did that.
        EngineError: The engine failed.
    """
    container = engine.create(spec)
    timer = threading.Timer(seconds, lambda: engine.kill(container))
    try:
        chunks = engine.attach(container)
        engine.start(container)
        timer.start()
        header, complaint = _save(chunks, target)
        state = see_end(engine, container)
    finally:
        timer.cancel()
        engine.remove(container)
    if state is None:
        raise EngineError("the engine lost the gather container")
    if state.exit_code != 0:
        raise Refused(f"its files could not be read: {complaint or 'that took too much time or memory'}")
    return _parse(header, target)


def _save(chunks: Iterator[tuple[bytes | None, bytes | None]], target: Path) -> tuple[bytes, str]:
    header, complaint, size = b"", b"", 0
    with target.open("wb") as file:
        for out, err in chunks:
            complaint = (complaint + (err or b""))[-400:]
            data = out or b""
            if b"\n" not in header:
                header += data
                if len(header.partition(b"\n")[0]) > HEADER:
                    raise Refused("the gather container printed no header")
                data = header.partition(b"\n")[2]
            size += len(data)
            if size > LARGEST:
                raise Refused(f"the work is larger than {LARGEST // MIB} MiB")
            file.write(data)
    return header.partition(b"\n")[0], complaint.decode(errors="replace").strip()


def _parse(header: bytes, pack: Path) -> RawWork:
    words = header.decode("ascii", errors="replace").split(" ")
    if len(words) == 3:
        tip, kind, named = words
        left = () if named == "-" else tuple(named.split(","))
        if len(tip) == 40 and set(tip) <= set("0123456789abcdef") and set(left) <= set(LEFT):
            for known in ("committed", "snapshot", "salvaged"):
                if kind == known:
                    return RawWork(tip, known, pack, left)
    raise Refused("the gather container printed a malformed header")
