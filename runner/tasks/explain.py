"""Pydantic's errors in the words of the task file: what is wrong, in which line, what to write instead."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from runner.errors import Problem
from runner.tasks.models import keys_of, parts
from runner.tasks.source import Document, Place, shown

MOST_CHOICES = 1000
"""Among more, the closest one is not looked for: comparing a word with each takes too long."""

_KINDS = {
    "string_type": "text",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "dict_type": "a mapping (`key: value`)",
    "model_type": "a mapping (`key: value`)",
    "model_attributes_type": "a mapping (`key: value`)",
}
_EXAMPLES = {
    "image": "write it like `image: {name: python:3.12-bookworm}`",
    "tasks": "write each task as an item: `- id: NAME`, its other keys below",
    "check": "write one command, such as `check: make build && make test`, or one for each name",
    "compare": "write it like `compare: {agents: [one, other], repeats: 3}`",
    "limits": "write it like `limits: {memory: 4GiB, time: 45min}`",
    "agents": "write it like `agents: {opus: {cli: claude, model: claude-opus-5-5}}`",
    "network": "write it like `network: {allow: [docs.example.org]}`",
    "mail": "write `mail: true`, or `mail: {wait: 30min}`",
    "prices": "write it like `prices: {my-model: {input: 0.5, output: 2}}`",
    "for_each": "write it like `for_each: [one, other]`, or `for_each: {files: 'src/**/*.py'}`",
    "upstream": "write `service`, `script:PATH` for transcripts to play, or `replay:PATH` for recordings",
}


def explain(error: ValidationError, document: Document) -> list[Problem]:
    """A problem for each error, with the line of the value that it is about."""
    return [
        _problem(details, document)
        for details in error.errors(include_url=False)
        # Items that are wrong don't count as items; what is written there is not empty for that.
        if not (details["type"] == "too_short" and details["input"])
    ]


def meant(word: str, known: Iterable[str], otherwise: str | None = None) -> str | None:
    """A cure for a word that is not among the known ones: the closest of them, or all if they are few."""
    choices = list(known)
    close = get_close_matches(word, choices, n=1, cutoff=0.6) if len(choices) <= MOST_CHOICES else []
    if close:
        return f"did you mean {close[0]!r}?"
    if otherwise is None and 0 < len(choices) <= 30:
        return f"known are: {', '.join(choices)}"
    return otherwise


def label(place: Place, document: Document) -> str:
    """A place in words: `task 'fix': limits.memory`."""
    if place[:1] == ("tasks",) and len(place) > 1:
        return _joined(f"task {_task_name(place[1], document)}", place[2:])
    if place[:1] == ("agents",) and len(place) > 1:
        return _joined(f"agent {shown(place[1])}", place[2:])
    return _dotted(place)


def _problem(details: ErrorDetails, document: Document) -> Problem:
    kind, where = details["type"], _written(details["loc"], document)
    message, cure = _words(details, where, document)
    if kind == "value_error":
        cause = details.get("ctx", {}).get("error")
        message, cure = str(cause), getattr(cause, "cure", None)
        message = f"{label(where, document)}: {message}" if where else message
    return Problem(message, document.line(where), cure)


def _words(details: ErrorDetails, where: Place, document: Document) -> tuple[str, str | None]:
    kind, place, last = (
        details["type"],
        label(where, document),
        str(details["loc"][-1:] and details["loc"][-1]),
    )
    if kind == "extra_forbidden":
        inside = label(where[:-1], document)
        return f"unknown key {shown(last)}{f' in {inside}' if inside else ''}", _known_key(details["loc"])
    if kind == "missing":
        inside = f"{place} lacks" if place else "the file lacks"
        return f"{inside} `{last}:`", _describe(details["loc"])
    if kind in {"union_tag_not_found", "union_tag_invalid"}:
        return _which_cli(details, place)
    if kind == "literal_error":
        choices = str(details.get("ctx", {}).get("expected", "")).replace(" or ", ", ").replace("'", "")
        word = str(details["input"])
        return f"{place}: {shown(details['input'])} is not known", meant(word, choices.split(", "))
    if kind == "too_short":
        return f"{place or 'the file'} is empty", "add at least one"
    if kind == "too_long":
        return f"{place}: more than {details.get('ctx', {}).get('max_length')} entries", "name fewer"
    return _wrong_kind(details, place, where)


def _wrong_kind(details: ErrorDetails, place: str, where: Place) -> tuple[str, str | None]:
    wanted, given = _KINDS.get(details["type"]), details["input"]
    if wanted is None:
        return f"{place}: {details['msg']}", None
    what = "a mapping" if isinstance(given, dict) else "a list" if isinstance(given, list) else shown(given)
    if not where:
        return f"the file holds {what}, not keys and values", "`corral init` writes a first one"
    cure = _EXAMPLES.get(str(where[-1]))
    if wanted == "text" and isinstance(given, int | float):
        cure = "put it into quotes"
    elif wanted == "a list" and isinstance(given, str):
        cure = f"write [{given}]" if len(given) <= 40 and given.isprintable() else "write it as a list"
    return f"{place} must be {wanted}, not {what}", cure


def _which_cli(details: ErrorDetails, place: str) -> tuple[str, str | None]:
    if details["type"] == "union_tag_not_found":
        return f"{place} lacks `cli:`", "write `cli: claude`, `cli: codex` or `cli: command`"
    tag = details.get("ctx", {}).get("tag", "")
    return f"{place}: cli {shown(tag)} is not supported by this version", "use `claude`, `codex` or `command`"


def _written(loc: tuple[str | int, ...], document: Document) -> Place:
    """The place in the file that an error's location means: the tags of unions are not written there."""
    place: Place = ()
    for part in loc:
        if (*place, part) in document.lines:
            place = (*place, part)
    return place


def _container(loc: tuple[str | int, ...]) -> dict[str, str]:
    """The keys that are known where the last part of `loc` stands."""
    known = parts()
    names = [part for part in loc[:-1] if isinstance(part, str)]
    if loc[0] == "prices" and len(loc) > 1:  # below it stand the names of models
        names = names[:1]
    if "check" in names:  # below it stand the names of checks
        names = names[: names.index("check") + 1]
    return keys_of(known.get(names[-1] if names else "", known[""]))


def _known_key(loc: tuple[str | int, ...]) -> str | None:
    word = str(loc[-1])
    if word == "<<":
        return "merge keys are not taken; give the whole value with an alias, or write it out"
    return meant(word, _container(loc))


def _describe(loc: tuple[str | int, ...]) -> str | None:
    text = _container(loc).get(str(loc[-1]), "")
    return f"`{loc[-1]}:` is {text[:1].lower()}{text[1:].rstrip('.')}" if text else None


def _task_name(index: str | int, document: Document) -> str:
    tasks = document.data.get("tasks") if isinstance(document.data, dict) else None
    task = tasks[index] if isinstance(tasks, list) and isinstance(index, int) and index < len(tasks) else None
    name = task.get("id") if isinstance(task, dict) else None
    return shown(name) if isinstance(name, str) else f"number {int(index) + 1}"


def _joined(start: str, rest: Place) -> str:
    return f"{start}: {_dotted(rest)}" if rest else start


def _dotted(place: Place) -> str:
    text = ""
    for part in place:
        text += f"[{part + 1}]" if isinstance(part, int) else f".{part}" if part.isprintable() else ".?"
    return text.removeprefix(".")
