"""Git for everything that touches bytes from a box, or writes: one function, one closed environment.

Nothing of the caller's environment, of global or system configuration, or of a repository's hooks,
file-system monitor or replace refs takes part. Commands run under resource limits and a time limit,
and never inside a directory that a box could write. The flags are the findings of the threat model:
each of them closes a way in which git was seen to run or fetch something on its own.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from runner.errors import CorralError

MIB = 1024**2

ENVIRONMENT = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "HOME": "/nonexistent",
    "LC_ALL": "C",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_ALLOW_PROTOCOL": "none",
    "GIT_AUTHOR_NAME": "Corral",
    "GIT_AUTHOR_EMAIL": "corral@localhost",
    "GIT_COMMITTER_NAME": "Corral",
    "GIT_COMMITTER_EMAIL": "corral@localhost",
}

CONFIGURATION = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.logAllRefUpdates=false",
    "core.attributesFile=/dev/null",
    "core.excludesFile=/dev/null",
    "core.bigFileThreshold=16m",
    "protocol.allow=never",
    "gc.auto=0",
    "maintenance.auto=false",
    "safe.bareRepository=explicit",
    "submodule.recurse=false",
)


class GitError(CorralError):
    """A git command failed. `stderr` is git's own words, which may quote untrusted names."""

    exit_code = 3

    def __init__(self, command: str, code: int, stderr: str) -> None:
        super().__init__(f"git {command} failed ({_ending(code)}): {stderr.strip()[-400:] or 'no message'}")
        self.code = code
        self.stderr = stderr


@dataclass(frozen=True)
class Bounds:
    """How much one git command may use: seconds of CPU and of time, bytes of memory and of one file."""

    cpu: int = 60
    seconds: float = 120
    memory: int = 4096 * MIB
    file: int = 1024 * MIB


DEFAULT = Bounds()
WHOLE_HISTORY = Bounds(cpu=3600, seconds=7200, memory=16384 * MIB, file=256 * 1024 * MIB)
"""For the operator's own history, whose size is what it is."""


def git(
    git_dir: Path,
    *arguments: str,
    stdin: bytes | IO[bytes] | None = None,
    alternates: Sequence[Path] = (),
    bounds: Bounds = DEFAULT,
) -> bytes:
    """Run one git command on a git directory and return what it printed.

    Args:
        git_dir: The git directory, always named: nothing is discovered.
        arguments: The subcommand and its arguments.
        stdin: Bytes or an open file for standard input; nothing otherwise.
        alternates: Object directories to read besides its own, for this command only.
        bounds: The limits.

    Raises:
        GitError: It failed, or ran into a limit.
    """
    try:
        done = subprocess.run(
            _command(git_dir, arguments, bounds),
            env=_environment(alternates),
            cwd="/",
            input=stdin if isinstance(stdin, bytes) else None,
            stdin=None if isinstance(stdin, bytes) else (stdin or subprocess.DEVNULL),
            capture_output=True,
            timeout=bounds.seconds,
            check=False,
            process_group=0,  # a Ctrl-C at the terminal is for Corral to hear, not for git to die of
        )
    except subprocess.TimeoutExpired as error:
        raise GitError(arguments[0], -9, f"took more than {bounds.seconds:.0f} s") from error
    if done.returncode != 0:
        raise GitError(arguments[0], done.returncode, done.stderr.decode(errors="replace"))
    return done.stdout


def succeeds(git_dir: Path, *arguments: str, alternates: Sequence[Path] = ()) -> bool:
    """Whether a git command that answers by its exit code says yes (0) rather than no (1).

    Raises:
        GitError: It gave another exit code, so there is no answer.
    """
    try:
        git(git_dir, *arguments, alternates=alternates)
    except GitError as error:
        if error.code == 1:
            return False
        raise
    return True


@contextmanager
def streaming(
    git_dir: Path,
    *arguments: str,
    alternates: Sequence[Path] = (),
    stdin: bool = False,
    bounds: Bounds = DEFAULT,
) -> Iterator[subprocess.Popen[bytes]]:
    """A running git command whose output is read as it comes; it is ended on leaving.

    Its error output is discarded: whoever needs a reason runs `git`.
    """
    process = subprocess.Popen(
        _command(git_dir, arguments, bounds),
        env=_environment(alternates),
        cwd="/",
        stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        process_group=0,  # as above
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def pipe(
    producer: tuple[Path, Sequence[str], bytes],
    consumer: tuple[Path, Sequence[str]],
    bounds: Bounds,
    alternates: Sequence[Path] = (),
) -> None:
    """Feed what one git command prints into another.

    Args:
        producer: Git directory, arguments, and what it reads on standard input.
        consumer: Git directory and arguments.
        bounds: The limits, for each of the two.
        alternates: Object directories that the producer reads besides its own.

    Raises:
        GitError: One of them failed.
    """
    source_dir, source_arguments, source_input = producer
    with streaming(source_dir, *source_arguments, alternates=alternates, stdin=True, bounds=bounds) as source:
        if source.stdin is None or source.stdout is None:
            raise AssertionError("both ends are pipes")
        source.stdin.write(source_input)
        source.stdin.close()
        target_dir, target_arguments = consumer
        git(target_dir, *target_arguments, stdin=source.stdout, bounds=bounds)
        if source.wait(timeout=30) != 0:
            raise GitError(source_arguments[0], source.returncode, "the pack could not be written")


def init_bare(path: Path) -> Path:
    """Make an empty bare repository without hooks or any other template."""
    path.mkdir(parents=True, exist_ok=True)
    git(path, "init", "--quiet", "--bare", "--template=", "--object-format=sha1", str(path))
    return path


def _command(git_dir: Path, arguments: Sequence[str], bounds: Bounds) -> list[str]:
    limits = [
        "prlimit",
        f"--cpu={bounds.cpu}",
        f"--as={bounds.memory}",
        f"--fsize={bounds.file}",
        "--core=0",
        "--",
    ]
    settings = [part for setting in CONFIGURATION for part in ("-c", setting)]
    return [*limits, "git", f"--git-dir={git_dir}", *settings, *arguments]


def _environment(alternates: Sequence[Path]) -> dict[str, str]:
    if not alternates:
        return ENVIRONMENT
    listed = ":".join(_quoted(path) for path in alternates)
    return {**ENVIRONMENT, "GIT_ALTERNATE_OBJECT_DIRECTORIES": listed}


def _quoted(path: Path) -> str:
    """A path in git's quotes, within which a colon does not end it."""
    return '"' + str(path).replace("\\", "\\\\").replace('"', '\\"') + '"'


def _ending(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit {code}"
