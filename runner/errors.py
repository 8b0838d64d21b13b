"""The exceptions that end a command, one exit code per kind.

    CorralError                 5  our own fault, unless a subclass says otherwise
    ├── UsageError              2  command line, task file or repository
    │   └── TaskFileError       2  … with file and line
    └── HostError               3  engine, host or network, or a promise that does not hold
        ├── EngineError         3  the container engine did not do what was asked
        │   ├── EngineAwayError 3  … since it did not answer
        │   ├── ImageGoneError  3  … since it does not have the image any more
        │   └── NotYetError    75  … and the supervisor of a detached run could not begin
        └── ImageError          3  an image could not be prepared

A message says what happened; `cure` says what to do about it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


class CorralError(Exception):
    """Base of every error that Corral raises on purpose."""

    exit_code = 5

    def __init__(self, message: str, *, cure: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.cure = cure

    def __str__(self) -> str:
        return f"{self.message}\n  → {self.cure}" if self.cure else self.message


class UsageError(CorralError):
    """The command line, the task file or the repository can't be used as it is."""

    exit_code = 2


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong in a file: where it stands, what it is, what to do."""

    message: str
    line: int | None = None
    cure: str | None = None


class TaskFileError(UsageError):
    """One or more problems in a task file, all reported at once.

    Every problem prints as `FILE:LINE: message` with its cure beneath it.
    """

    def __init__(self, file: Path | str, problems: list[Problem]) -> None:
        self.file = str(file)
        self.problems = problems
        super().__init__("\n".join(self._line(problem) for problem in problems))

    def _line(self, problem: Problem) -> str:
        place = f"{self.file}:{problem.line}" if problem.line is not None else self.file
        text = f"{place}: {problem.message}"
        return f"{text}\n  → {problem.cure}" if problem.cure else text


class HostError(CorralError):
    """The engine, the host or the network lacks something that is needed."""

    exit_code = 3


class EngineError(HostError):
    """The container engine could not be reached or did not do what was asked."""


class NotYetError(EngineError):
    """A run that nobody watches can't be taken up just now, for want of the engine.

    Its exit code, EX_TEMPFAIL of sysexits.h, is for the keeper of its supervisor alone, which tries again.
    """

    exit_code = 75


class EngineAwayError(EngineError):
    """The container engine did not answer, or broke off: whether it did what was asked is not known."""


class ImageGoneError(EngineError):
    """A container could not be made: the engine does not have its image; `image` is the one asked for."""

    def __init__(self, message: str, image: str) -> None:
        super().__init__(message, cure="`corral resume` prepares images anew")
        self.image = image


class ImageError(HostError):
    """An image could not be pulled, bootstrapped or built; `log` holds the last lines of output."""

    def __init__(self, message: str, *, cure: str | None = None, log: tuple[str, ...] = ()) -> None:
        super().__init__(message, cure=cure)
        self.log = log
