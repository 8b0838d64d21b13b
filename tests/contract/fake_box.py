"""What a box of the FAKE engine does: a timetable, made from a few words of shell before it begins.

Nothing runs. `echo`, `sleep`, `exit`, `cat`, `true` and `false` are known, joined by `;`; `echo … > FILE`
counts as work in the workspace, whatever it says. All else is refused loudly: no test rests on a guess.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass, field

from runner.sandbox.output import READY

FOREVER = float("inf")


@dataclass
class Timetable:
    """What a box does, in seconds after its start.

    Attributes:
        pieces: What it prints: when, on which stream (standard error?), and what.
        writes: When it writes a file of its workspace.
        ends: When it ends by itself; `FOREVER` for never.
        code: Its exit code then.
        reads: Whether it waits for the end of its standard input, and ends with that.
    """

    pieces: list[tuple[float, bool, bytes]] = field(default_factory=list)
    writes: list[float] = field(default_factory=list)
    ends: float = 0.0
    code: int = 0
    reads: bool = False

    @property
    def printed(self) -> bytes:
        """Everything that it prints on either stream."""
        return b"".join(data for _, _, data in self.pieces)


def timetable(argv: tuple[str, ...]) -> Timetable:
    """What a command does, with or without the first program of an agent's or a check's box before it."""
    made = Timetable()
    if argv[0] == "/opt/corral/enter":
        made.pieces.append((0.0, False, READY + b"\n"))
        argv = argv[{"work": 3, "again": 3, "check": 4}[argv[1]] :]
    if argv[:2] == ("sh", "-c"):
        statements = [part.strip() for part in " ".join(argv[2:]).split(";")]
    else:
        statements = [shlex.join(argv)]
    for statement in statements:
        if not _do(made, statement):
            break
    return made


def _do(made: Timetable, statement: str) -> bool:
    """Add one statement; returns whether another one comes after it."""
    program, *words = shlex.split(statement)
    known = _KNOWN.get(program.rpartition("/")[2])
    if known is None:
        raise NotImplementedError(f"the fake engine can't play {statement!r}")
    return known(made, words)


def _echo(made: Timetable, words: list[str]) -> bool:
    made.code = 0
    target = next((n for n, word in enumerate(words) if word.startswith(">")), len(words))
    aside = words[target:]
    data = " ".join(words[:target]).encode() + b"\n"
    if aside and aside[0] != ">&2":
        made.writes.append(made.ends)
    else:
        made.pieces.append((made.ends, bool(aside), data))
    return True


def _sleep(made: Timetable, words: list[str]) -> bool:
    made.code = 0
    made.ends += FOREVER if words == ["infinity"] else float(words[0])
    return made.ends < FOREVER


def _exit(made: Timetable, words: list[str]) -> bool:
    made.code = int(words[0])
    return False


def _cat(made: Timetable, words: list[str]) -> bool:
    if words:
        raise NotImplementedError("the fake engine's cat reads standard input alone")
    made.reads, made.ends = True, FOREVER
    return False


def _true(made: Timetable, _: list[str]) -> bool:
    made.code = 0
    return True


def _false(made: Timetable, _: list[str]) -> bool:
    made.code = 1
    return True


_KNOWN: dict[str, Callable[[Timetable, list[str]], bool]] = {
    "echo": _echo, "sleep": _sleep, "exit": _exit, "cat": _cat, "true": _true, "false": _false,
}  # fmt: skip
