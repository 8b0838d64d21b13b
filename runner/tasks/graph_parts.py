"""The keys of a task file that make a graph of its tasks: their kinds of value."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

from runner.tasks.fields import Command, Distinct, RefusedError, TreePath
from runner.tasks.items import MOST, ItemError, plain
from runner.tasks.part import Part
from runner.tasks.plan import Mode as Mode  # noqa: PLC0414 - found here with its neighbours
from runner.tasks.plan import Passing as Passing  # noqa: PLC0414 - as above
from runner.tasks.source import shown
from runner.tasks.when import WhenError, parse

FanIn = Literal["all", "any"]
Outside = Literal["flag", "refuse"]


def _item(text: str) -> str:
    try:
        return plain(text)
    except ItemError as error:
        raise RefusedError(str(error), "write each item as one line of plain text") from error


def _glob(text: str) -> str:
    path = text.removeprefix("!")
    if (
        not path.strip()
        or not path.isprintable()
        or path.startswith(("/", "~", ":"))
        or ".." in path.split("/")
    ):
        raise RefusedError(
            f"{shown(text)} is no pattern of the repository's files",
            "write it like 'src/**/*.py', relative to its top; `!` in front leaves files out",
        )
    return text


def _expression(text: str) -> str:
    try:
        parse(text)
    except WhenError as error:
        raise RefusedError(str(error), error.cure) from error
    return text


def _listed(value: object) -> object:
    """A list is a list of items; numbers in it are meant as text."""
    if not isinstance(value, list):
        return value
    return {"items": [str(one) if _is_number(one) else one for one in value]}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _one_or_many(value: object) -> object:
    return [value] if isinstance(value, str) else value


Item = Annotated[str, AfterValidator(_item)]
Glob = Annotated[str, AfterValidator(_glob)]
WhenText = Annotated[str, AfterValidator(_expression), WithJsonSchema({"type": "string", "pattern": r"\S"})]
Globs = Annotated[
    tuple[Glob, ...],
    BeforeValidator(_one_or_many, json_schema_input_type=str | tuple[str, ...]),
    Field(min_length=1),
]


class ForEachPart(Part):
    """What a task is done for: one of `items`, `files` and `command`. A list is short for `items`."""

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [{"required": [key]} for key in ("items", "files", "command")]}
    )

    items: Annotated[tuple[Item, ...], Field(min_length=1, max_length=MOST), Distinct] | None = None
    """The items themselves; `for_each: [one, other]` says the same."""
    files: Globs | None = None
    """Patterns of files of the base commit, like `src/**/*.py`; one that begins with `!` leaves files out."""
    command: Command | None = None
    """Run once, in a box of its own on the base, when the run starts: each line that it prints is an item."""

    @model_validator(mode="after")
    def _one(self) -> ForEachPart:
        given = [key for key in ("items", "files", "command") if getattr(self, key) is not None]
        if len(given) != 1:
            said = f"{' and '.join(given)} together" if given else "nothing to do it for"
            raise RefusedError(said, "write a list, or give one of `files:` and `command:`")
        return self


ForEach = Annotated[
    ForEachPart, BeforeValidator(_listed, json_schema_input_type=tuple[str, ...] | ForEachPart)
]
Paths = Annotated[tuple[TreePath, ...], Field(min_length=1), Distinct]
