"""The kinds of value in a task file: what is taken, what is refused and why, and their JSON Schema."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BeforeValidator, WithJsonSchema

from runner import names
from runner.tasks import codex_args, units
from runner.tasks.hosts import allowed_host
from runner.tasks.keys import key_file_rule, key_text_rule
from runner.tasks.source import shown
from runner.tasks.units import GIB, MIB, format_duration, format_size

BASE = "base"
"""In `from:`, the word for the base commit; no task can be called that."""

SMALLEST_MEMORY = 6 * MIB
"""Docker's own minimum for a container."""
SMALLEST_DISK = 16 * MIB
"""What a file system with a home directory and an index needs before it holds anything."""
LARGEST_SIZE = 1024 * 1024 * GIB
MOST_PIDS = 2**22
"""The kernel's own limit (PID_MAX_LIMIT)."""
MOST_TIMES = 20
"""Who fails so often again has another trouble."""
LONGEST = 30 * 86400.0
RUNTIME_PATTERN = r"[A-Za-z0-9_.-]{1,64}"
LONGEST_ARGUMENT = 128 * 1024 - 1
"""Linux takes no longer single argument or variable (MAX_ARG_STRLEN)."""

_RESERVED_ENV = frozenset(
    {
        "HOME", "ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_BASE_URL", "CLAUDE_CODE_OAUTH_TOKEN",
        "OPENAI_API_KEY", "OPENAI_BASE_URL", "CODEX_API_KEY", "CODEX_ACCESS_TOKEN", "CODEX_HOME",
        "GEMINI_API_KEY", "GOOGLE_GEMINI_BASE_URL",
    }
)  # fmt: skip
_OWN_ARGS = {
    "--model": "write it as `model:`",
    "--effort": "write it as `effort:`",
    "--fallback-model": "remove it: another model would do the profile's work",
    **dict.fromkeys(
        ("-p", "--print", "-c", "--continue", "-r", "--resume", "--session-id"),
        "remove it: Corral sets it itself",
    ),
    **dict.fromkeys(
        ("--output-format", "--input-format"),
        "remove it: Corral sets it itself",
    ),
}  # fmt: skip

Item = TypeVar("Item")


class RefusedError(ValueError):
    """A value that is not taken: why, and what to write instead."""

    def __init__(self, message: str, cure: str | None = None) -> None:
        super().__init__(message)
        self.cure = cure


def _id(text: str) -> str:
    if not names.is_id(text):
        raise RefusedError(f"{shown(text)} is not usable as a name", f"use {names.ID_RULE}")
    return text


def _task_id(text: str) -> str:
    if text == BASE:
        raise RefusedError(
            f"a task can't be called {BASE!r}: `from: {BASE}` means the base commit", "rename it"
        )
    return _id(text)


def _prefix(text: str) -> str:
    if not all(names.is_id(part) for part in text.split("/")):
        raise RefusedError(
            f"{shown(text)} is not usable as a branch prefix", f"between its slashes, use {names.ID_RULE}"
        )
    return text


def _filled(text: str) -> str:
    if not text.strip():
        raise RefusedError("empty text", "write something, or remove the key")
    return text


def _without_key(text: str) -> str:
    if rule := key_text_rule(text):
        raise RefusedError(
            f"it contains {rule}: keys never enter a box", "set it in the shell that starts Corral"
        )
    return text


def _argument(text: str) -> str:
    size = len(text.encode())
    if size > LONGEST_ARGUMENT:
        raise RefusedError(
            f"{format_size(size)} are too long for an argument", "put it into a file of the repository"
        )
    return _without_key(text)


def _command(text: str) -> str:
    return _argument(_filled(text))


def tree_path(text: str) -> str:
    """A path that stays inside the repository's tree, and does not mean the whole of it."""
    path = PurePosixPath(_within(text))
    if path == PurePosixPath("."):
        raise RefusedError(f"{shown(text)} means the whole tree", "name files or directories in it")
    return text


def _within(text: str) -> str:
    path = PurePosixPath(_filled(text))
    if path.is_absolute() or ".." in path.parts or text.startswith("~"):
        raise RefusedError(f"{shown(text)} leaves the repository", "write a path relative to its top")
    if any(part.lower() == ".git" for part in path.parts):
        raise RefusedError(f"{shown(text)} lies in the git directory", "write a path in the tree")
    if not text.isprintable():
        raise RefusedError(f"{shown(text)} is not printable", "write one plain path")
    return text


def _included(text: str) -> str:
    path = tree_path(text)
    if rule := key_file_rule(path):
        raise RefusedError(
            f"{shown(path)} looks like a key (rule: {rule}): keys never enter a box",
            "leave it out; model keys stay with the gateway, tests need stand-ins",
        )
    return path


def _repository(text: str) -> str:
    if "://" in text or re.match(r"[\w.-]+@[\w.-]+:", text):
        raise RefusedError(f"{shown(text)} is a URL", "clone it, and give the clone's directory")
    if text.startswith("~"):
        raise RefusedError(
            f"{shown(text)}: `~` is not expanded", "write a path relative to this file, or from /"
        )
    return _one_line(text)


def _one_line(text: str) -> str:
    if not _filled(text).isprintable() or text.startswith("-"):
        raise RefusedError(f"{shown(text)} is not usable here", "write one line that does not start with '-'")
    return text


def _image_name(text: str) -> str:
    if re.search(r"\s", _one_line(text)):
        raise RefusedError(f"{shown(text)} is not an image's name", "write it like python:3.12-bookworm")
    return text


def _runtime(text: str) -> str:
    if re.fullmatch(RUNTIME_PATTERN, text) is None:
        raise RefusedError(
            f"{shown(text)} is not a runtime's name",
            "write it like runsc, as `docker info` lists it: at most 64 of a-z A-Z 0-9 . _ -",
        )
    return text


def _upstream(text: str) -> str:
    kind, _, path = text.partition(":")
    if text != "service" and not (kind in {"script", "replay"} and path.strip() and text.isprintable()):
        raise RefusedError(
            f"{shown(text)} is not an upstream",
            "write `service`, `script:PATH` for transcripts to play, or `replay:PATH` for recordings",
        )
    return text


def _host(text: str) -> str:
    return str(allowed_host(text))


def _variable(text: str) -> str:
    if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", text) is None:
        raise RefusedError(f"{shown(text)} is not a variable's name", "use letters, digits and _")
    if text in _RESERVED_ENV or text.startswith("CORRAL_"):
        raise RefusedError(
            f"{text} is set by Corral in every box", "remove it; keys and addresses are read on the host"
        )
    return text


def _claude_argument(text: str) -> str:
    option = text.partition("=")[0]
    if cure := _OWN_ARGS.get(option):
        raise RefusedError(f"{option} can't be among `args`", cure)
    return _argument(text)


def _codex_arguments(args: tuple[str, ...]) -> tuple[str, ...]:
    for said, cure in codex_args.refusals(args):
        raise RefusedError(f"{shown(said)} can't be among `args`", cure)
    return args


def _distinct(items: tuple[Item, ...]) -> tuple[Item, ...]:
    seen: set[Item] = set()
    for item in items:
        if item in seen:
            raise RefusedError(f"{shown(item)} is named twice", "name it once")
        seen.add(item)
    return items


def _run(value: object) -> object:
    return ["sh", "-c", value] if isinstance(value, str) else value


def _sized(low: int) -> Callable[[object], int]:
    def check(value: object) -> int:
        size = units.parse_size(value)
        if not low <= size <= LARGEST_SIZE:
            span = f"from {format_size(low)} to {format_size(LARGEST_SIZE)}"
            raise RefusedError(f"{format_size(size)} is out of range ({span})", "did you forget a unit?")
        return size

    return check


def _lasting(value: object) -> float:
    seconds = units.parse_duration(value)
    if not 1 <= seconds <= LONGEST:
        cure = f"write one from 1s to {format_duration(LONGEST)}"
        raise RefusedError(f"{format_duration(seconds)} is out of range", cure)
    return seconds


def _between(low: float, high: float, kinds: type | tuple[type, ...], noun: str) -> Callable[[Any], Any]:
    def check(value: object) -> object:
        if isinstance(value, bool) or not isinstance(value, kinds):
            raise RefusedError(f"{shown(value)} is not {noun}", f"write one from {low} to {high}")
        if not low <= value <= high:  # type: ignore[operator]  # `kinds` are int and float only
            raise RefusedError(f"{shown(value)} is out of range", f"write one from {low} to {high}")
        return value

    return check


def _text_schema(pattern: str = r"\S") -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": pattern})


def _unit_schema(pattern: str, *more: str) -> WithJsonSchema:
    alternatives = [{"type": "string", "pattern": pattern}, *({"type": kind} for kind in more)]
    return WithJsonSchema({"anyOf": alternatives} if more else alternatives[0])


_ID_SCHEMA = rf"^(?!.*\.\.)(?!.*(\.|\.lock)$){names.ID_PATTERN}$"
_RUNTIME_SCHEMA = rf"^{RUNTIME_PATTERN}$"
_TREE_SCHEMA = r"^(?![/~])(?!(.*/)?\.\.(/|$)).+$"

Id = Annotated[str, AfterValidator(_id), _text_schema(_ID_SCHEMA)]
TaskId = Annotated[str, AfterValidator(_task_id), _text_schema(_ID_SCHEMA)]
Prefix = Annotated[str, AfterValidator(_prefix), _text_schema(r"^[a-z0-9][a-z0-9._/-]*$")]
Text = Annotated[str, AfterValidator(_filled), _text_schema()]
Line = Annotated[str, AfterValidator(_one_line), _text_schema(r"^[^-]")]
Command = Annotated[str, AfterValidator(_command), _text_schema()]
Argument = Annotated[str, AfterValidator(_argument)]
ClaudeArgument = Annotated[str, AfterValidator(_claude_argument)]
CodexArguments = Annotated[tuple[Argument, ...], AfterValidator(_codex_arguments)]
RunCommand = Annotated[
    tuple[Argument, ...],
    BeforeValidator(_run),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": r"\S"},
                {"type": "array", "items": {"type": "string"}, "minItems": 1},
            ]
        }
    ),
]
TreePath = Annotated[str, AfterValidator(tree_path), _text_schema(_TREE_SCHEMA)]
IncludePath = Annotated[str, AfterValidator(_included), _text_schema(_TREE_SCHEMA)]
Directory = Annotated[str, AfterValidator(_within), _text_schema(_TREE_SCHEMA)]
Repository = Annotated[str, AfterValidator(_repository), _text_schema(r"^[^-~]")]
HostDirectory = Repository
"""A directory of the host, relative to the task file."""
ImageName = Annotated[str, AfterValidator(_image_name), _text_schema(r"^[^-\s]\S*$")]
RuntimeName = Annotated[str, AfterValidator(_runtime), _text_schema(_RUNTIME_SCHEMA)]
UpstreamText = Annotated[str, AfterValidator(_upstream), _text_schema(r"^(service|(script|replay):.+)$")]
HostText = Annotated[
    str, AfterValidator(_host), _text_schema(r"^(\*\.)?[^\s*/@:?#\[\]]+[^\s*/@:?#\[\].](:[1-9][0-9]{0,4})?$")
]
Variable = Annotated[str, AfterValidator(_variable)]
Env = Annotated[
    dict[Variable, Argument],
    WithJsonSchema(
        {
            "type": "object",
            "propertyNames": {"pattern": "^[A-Za-z_][A-Za-z0-9_]*$"},
            "additionalProperties": {"type": "string"},
        }
    ),
]
Distinct = AfterValidator(_distinct)

Memory = Annotated[int, BeforeValidator(_sized(SMALLEST_MEMORY)), _unit_schema(units.SIZE_PATTERN, "integer")]
Disk = Annotated[int, BeforeValidator(_sized(SMALLEST_DISK)), _unit_schema(units.SIZE_PATTERN, "integer")]
Seconds = Annotated[float, BeforeValidator(_lasting), _unit_schema(units.DURATION_PATTERN)]
Tokens = Annotated[int, BeforeValidator(units.parse_count), _unit_schema(units.COUNT_PATTERN, "integer")]
Cpus = Annotated[
    float,
    BeforeValidator(_between(0.01, 4096, (int, float), "a number of CPUs")),
    WithJsonSchema({"type": "number", "minimum": 0.01, "maximum": 4096}),
]
Pids = Annotated[
    int,
    # Two, because the agent runs under an init.
    BeforeValidator(_between(2, MOST_PIDS, int, "a number of processes")),
    WithJsonSchema({"type": "integer", "minimum": 2, "maximum": MOST_PIDS}),
]
AtOnce = Annotated[
    int,
    BeforeValidator(_between(1, 1000, int, "a number of attempts")),
    WithJsonSchema({"type": "integer", "minimum": 1, "maximum": 1000}),
]
Repeats = Annotated[
    int,
    BeforeValidator(_between(1, 1000, int, "a number of repeats")),
    WithJsonSchema({"type": "integer", "minimum": 1, "maximum": 1000}),
]
LARGEST_SEED = 2**32 - 1
Seed = Annotated[
    int,
    BeforeValidator(_between(0, LARGEST_SEED, int, "a seed")),
    WithJsonSchema({"type": "integer", "minimum": 0, "maximum": LARGEST_SEED}),
]
Times = Annotated[
    int,
    BeforeValidator(_between(0, MOST_TIMES, int, "a number of times")),
    WithJsonSchema({"type": "integer", "minimum": 0, "maximum": MOST_TIMES}),
]
Usd = Annotated[
    float,
    BeforeValidator(_between(0, 1_000_000, (int, float), "an amount of US dollars")),
    WithJsonSchema({"type": "number", "minimum": 0}),
]
