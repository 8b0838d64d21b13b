"""Git for everything that touches bytes from a box, or writes: one function, one closed environment.

Nothing of the caller's environment, of global or system configuration, or of a repository's hooks,
file-system monitor or replace refs takes part. Commands run under resource limits and a time limit,
and never inside a directory that a box could write. The flags are the findings of the threat model:
each of them closes a way in which git was seen to run or fetch something on its own.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
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


class LongRecordError(GitError):
    """A git command printed a record that is longer than its reader holds."""


@dataclass(frozen=True)
class Bounds:
    """How much one git command may use: seconds of CPU and of time, bytes of memory and of one file.

    `output` bounds the bytes that are kept of what it prints; what is read as it comes has no such bound.
    """

    cpu: int = 60
    seconds: float = 120
    memory: int = 4096 * MIB
    file: int = 1024 * MIB
    output: int = 256 * MIB


DEFAULT = Bounds()
WHOLE_HISTORY = Bounds(cpu=3600, seconds=7200, memory=16384 * MIB, file=256 * 1024 * MIB, output=4096 * MIB)
"""For the operator's own history, whose size is what it is."""

CHUNK = 64 * 1024
COMPLAINT = 4096
"""Bytes kept of the end of a command's error output, which hostile objects can make as long as they like."""


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
    with _as_file(stdin) as source, _running(git_dir, arguments, alternates, source, bounds) as running:
        out = running.stdout.read(bounds.output + 1)
        if len(out) > bounds.output:
            raise GitError(arguments[0], -signal.SIGKILL, f"printed more than {bounds.output // MIB} MiB")
        running.finish()
        return out


@contextmanager
def records(
    git_dir: Path,
    *arguments: str,
    end: bytes = b"\n",
    longest: int = CHUNK,
    stdin: IO[bytes] | None = None,
    alternates: Sequence[Path] = (),
    bounds: Bounds = DEFAULT,
) -> Iterator[Iterator[bytes]]:
    """Run one git command and read what it prints record by record, so that any number takes no memory.

    Args:
        git_dir: The git directory.
        arguments: The subcommand and its arguments.
        end: What ends a record.
        longest: Bytes that one record may have.
        stdin: An open file for standard input; nothing otherwise.
        alternates: Object directories to read besides its own.
        bounds: The limits.

    Raises:
        LongRecordError: While reading: a record is longer.
        GitError: While reading: the command failed, or ran into a limit. Until then nothing is certain.
    """
    with _running(git_dir, arguments, alternates, stdin, bounds) as running:
        yield _records(running, end, longest)


def _records(running: _Running, end: bytes, longest: int) -> Iterator[bytes]:
    rest = b""
    while chunk := os.read(running.stdout.fileno(), CHUNK):
        *whole, rest = (rest + chunk).split(end)
        yield from whole
        if len(rest) > longest:
            raise LongRecordError(running.command, -signal.SIGKILL, f"a record of more than {longest} bytes")
    running.finish()
    if rest:
        yield rest


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
    """A running git command whose output is read as it comes; it is ended on leaving, or when its time is up.

    Its error output is not kept: whoever needs a reason runs `git`.
    """
    source = subprocess.PIPE if stdin else None
    with _running(git_dir, arguments, alternates, source, bounds) as running:
        yield running.process


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


def open_to_read(top: Path) -> None:
    """Let any user read a repository, as boxes' users do through their mounts, whatever the umask was."""
    for folder, _, files in os.walk(top):
        Path(folder).chmod(0o755)
        for file in (Path(folder) / name for name in files):
            file.chmod(file.stat().st_mode | 0o444)


@dataclass
class _Running:
    """A git command that runs, the end of its complaints, and whether its time was up."""

    process: subprocess.Popen[bytes]
    command: str
    bounds: Bounds
    stdout: IO[bytes]
    complaint: bytes = b""
    late: bool = False
    ended: threading.Event = field(default_factory=threading.Event)
    watcher: threading.Thread = field(init=False)

    def __post_init__(self) -> None:
        self.watcher = threading.Thread(target=self._watch, name=f"git-{self.command}", daemon=True)
        self.watcher.start()

    def _watch(self) -> None:
        """Read its complaints, so that it never waits for a reader, and end it when its time is up."""
        if self.process.stderr is None:
            raise AssertionError("error output is a pipe")
        until = time.monotonic() + self.bounds.seconds
        stderr = select.poll()
        stderr.register(self.process.stderr, select.POLLIN)
        while stderr.poll(1000 * max(0, until - time.monotonic())):
            said = os.read(self.process.stderr.fileno(), CHUNK)
            if not said:
                break
            self.complaint = (self.complaint + said)[-COMPLAINT:]
        if not self.ended.wait(max(0, until - time.monotonic())):
            self.late = True
            self.kill()

    def kill(self) -> None:
        """End it and what it started."""
        if self.process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)

    def finish(self) -> None:
        """Wait for its end.

        Raises:
            GitError: It failed, or ran into a limit.
        """
        code = self.process.wait()
        self.ended.set()
        self.watcher.join()
        if self.late:
            raise GitError(self.command, -signal.SIGKILL, f"took more than {self.bounds.seconds:.0f} s")
        if code != 0:
            raise GitError(self.command, code, self.complaint.decode(errors="replace"))


@contextmanager
def _running(
    git_dir: Path,
    arguments: Sequence[str],
    alternates: Sequence[Path],
    stdin: IO[bytes] | int | None,
    bounds: Bounds,
) -> Iterator[_Running]:
    process = subprocess.Popen(
        _command(git_dir, arguments, bounds),
        env=_environment(alternates),
        cwd="/",
        stdin=subprocess.DEVNULL if stdin is None else stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        process_group=0,  # a Ctrl-C at the terminal is for Corral to hear, not for git to die of
    )
    with process:
        if process.stdout is None:
            raise AssertionError("standard output is a pipe")
        running = _Running(process, arguments[0], bounds, process.stdout)
        try:
            yield running
        finally:
            running.kill()
            running.ended.set()
            running.watcher.join()


@contextmanager
def _as_file(stdin: bytes | IO[bytes] | None) -> Iterator[IO[bytes] | None]:
    """Bytes as a file, so that nobody has to write them while the answer is read."""
    if not isinstance(stdin, bytes):
        with nullcontext(stdin) as given:
            yield given
        return
    with tempfile.TemporaryFile() as file:
        file.write(stdin)
        file.seek(0)
        yield file


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
