"""What the scripted model plays: a file of turns, read and checked.

docs/transcripts.md describes the format for those who write one.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import ConfigDict, Field, JsonValue, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails

from runner.errors import Problem, TaskFileError
from runner.tasks.plan import Value

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the C one is ten times faster

Count = Annotated[int, Field(ge=0)]
Seconds = Annotated[float, Field(ge=0, le=3600, allow_inf_nan=False)]


class ToolCall(Value):
    """A tool that the model asks for."""

    name: str = Field(min_length=1)
    input: dict[str, JsonValue] = Field(default_factory=dict)


class Figures(Value):
    """The tokens that a turn claims to have used."""

    input: Count = 0
    output: Count = 0
    cache_read: Count = 0
    cache_write: Count = 0
    reasoning: Count = 0
    """A part of the output, told where the service tells it."""


class ScriptedError(Value):
    """An error that the service answers with instead of a turn."""

    status: int = Field(ge=400, le=599)
    type: str = ""
    """As the service would give it; by default the one that belongs to the status."""
    message: str


class Turn(Value):
    """One answer of the model."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    text: str = ""
    tools: tuple[ToolCall, ...] = ()
    usage: Figures = Figures()
    delay: Seconds = 0.0
    """Seconds before the first byte."""
    pause: Seconds = 0.0
    """Seconds between the events of a stream."""
    expect: str | None = None
    """A regular expression that must be found in what the agent sent last."""
    error: ScriptedError | None = None

    @field_validator("expect")
    @classmethod
    def _compiles(cls, text: str | None) -> str | None:
        try:
            re.compile(text or "")
        except re.error as wrong:
            raise ValueError(f"not a regular expression: {wrong}") from wrong
        return text

    @model_validator(mode="after")
    def _says_something(self) -> Turn:
        says = bool(self.text or self.tools)
        if says == (self.error is not None):
            raise ValueError("a turn needs text or tools, or else an error")
        return self


class Transcript(Value):
    """All turns, in order."""

    turns: tuple[Turn, ...] = Field(min_length=1)


def load(file: Path) -> Transcript:
    """Read a transcript.

    Raises:
        TaskFileError: The file can't be read or is not a transcript; with the lines.
    """
    try:
        return parse(file.read_text(encoding="utf-8"), file)
    except (OSError, UnicodeDecodeError) as failure:
        why = failure.strerror if isinstance(failure, OSError) else failure
        cure = "`upstream: script:PATH` names it, or the directory with its PROFILE/TASK.yaml"
        raise TaskFileError(file, [Problem(f"the transcript can't be read: {why}", cure=cure)]) from failure


def parse(text: str, file: Path | str) -> Transcript:
    """Read a transcript's text; `file` is only named in errors.

    Raises:
        TaskFileError: It is not a transcript.
    """
    try:
        node = yaml.compose(text, Loader=_LOADER)
        content = yaml.load(text, Loader=_LOADER)  # noqa: S506 - both loaders are safe ones
        return Transcript.model_validate(content)
    except yaml.MarkedYAMLError as wrong:
        line = None if wrong.problem_mark is None else wrong.problem_mark.line + 1
        raise TaskFileError(file, [Problem(f"not YAML: {wrong.problem}", line)]) from wrong
    except (yaml.YAMLError, RecursionError) as wrong:
        raise TaskFileError(file, [Problem(f"not YAML: {wrong}")]) from wrong
    except ValidationError as wrong:
        raise TaskFileError(file, [_problem(each, node) for each in wrong.errors()]) from wrong


def _problem(found: ErrorDetails, root: yaml.Node | None) -> Problem:
    steps = [f"{step}" if isinstance(step, str) else f"[{step + 1}]" for step in found["loc"]]
    place = ".".join(steps).replace(".[", "[") or "the file"
    said, cure = found["msg"], "docs/transcripts.md describes the format"
    if found["type"] == "extra_forbidden":
        said = "this key is not known"
        near = get_close_matches(steps[-1], _KEYS, n=1)
        cure = f"did you mean {near[0]!r}?" if near else cure
    return Problem(f"{place}: {said}", _line(root, found["loc"]), cure=cure)


_KEYS = [name for part in (Transcript, Turn, ToolCall, Figures, ScriptedError) for name in part.model_fields]


def _line(node: yaml.Node | None, path: tuple[int | str, ...]) -> int | None:
    line = None
    for step in path:
        node, line = _below(node, step) or (node, line)
    return line


def _below(node: yaml.Node | None, step: int | str) -> tuple[yaml.Node, int] | None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == str(step):
                return value, key.start_mark.line + 1
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        return node.value[step], node.value[step].start_mark.line + 1
    return None
