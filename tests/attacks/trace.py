"""Which programs a command started on the host: `strace`, where it is there and may trace.

One file for each process, so that no line is split. With its filter (`--seccomp-bpf`) only these few
system calls stop a process, and a traced run takes hardly longer than another.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

CHOSEN = ("-e", "trace=execve,execveat,chdir", "-e", "signal=none")
EXECUTED = re.compile(r'^execve(?:at)?\((?:AT_FDCWD, )?"((?:[^"\\]|\\.)*)", \[(.*)\], .*\) += 0$')
ENTERED = re.compile(r'^chdir\("((?:[^"\\]|\\.)*)"\) += 0$')


@dataclass(frozen=True)
class Started:
    """One process: the program, its arguments as `strace` writes them, and the directories it entered."""

    program: str
    argv: str
    directories: tuple[str, ...]


@cache
def works() -> bool:
    """Whether processes can be traced here."""
    if shutil.which("strace") is None:
        return False
    command = ["strace", "-f", "--seccomp-bpf", *CHOSEN, "-o", "/dev/null", "true"]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


def prefix(folder: Path) -> tuple[str, ...]:
    """What to put before a command so that every process of it is noted in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    where = ("-o", str(folder / "process"))
    return ("strace", "-ff", "--seccomp-bpf", "-qq", "-s", "2000", *CHOSEN, *where)


def read(folder: Path) -> tuple[Started, ...]:
    """Every program that was started, from the notes in a folder."""
    found: list[Started] = []
    for file in sorted(folder.iterdir()):
        lines = file.read_text(errors="replace").splitlines()
        entered = tuple(match[1] for line in lines if (match := ENTERED.match(line)))
        executed = [match for line in lines if (match := EXECUTED.match(line))]
        found += [Started(Path(match[1]).name, match[2], entered) for match in executed]
    return tuple(found)
