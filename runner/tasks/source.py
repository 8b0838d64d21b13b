"""YAML text as plain values of which each knows its line.

Read from parser events instead of `yaml.load`, because a task file is written by hand and must be
explained: keys twice, tags, aliases that multiply and values left empty are refused with their line.
Scalars follow YAML 1.2, so that `on`, `1:30` and `2026-01-01` stay text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

import yaml

from runner.errors import Problem
from runner.tasks.items import PLACE

LARGEST = 64 * 1024 * 1024
"""The largest file, and the most text that aliases may expand to, in characters."""
MOST_VALUES = 200_000
DEEPEST = 40

Place = tuple[str | int, ...]
"""Where a value stands: keys and list indices, from the top."""

# The C loader reads a prompt of 1 MB in milliseconds; the one in Python takes about a second.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_INTEGER = re.compile(r"[-+]?[0-9]{1,15}")
_NUMBER = re.compile(r"[-+]?[0-9]{1,15}\.[0-9]{0,15}|[-+]?[0-9]{1,15}(\.[0-9]{0,15})?[eE][-+]?[0-9]{1,2}")
_CONSTANTS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_CURES = {
    "cannot start any token": "indent with spaces, not tabs; put text that starts with @ ` or % into quotes",
    "did not find expected ',' or": "put items that contain [ ] { } or , into quotes",
    "did not find expected key": "look at the indentation and the quotes",
    "mapping values are not allowed": "put text that contains ': ' into quotes, or look at the indentation",
    "found unexpected end of stream": "close the quote or bracket that was opened",
    "found undefined alias": "define it with & further up",
    "could not find expected ':'": "write `key: value`; put text of several lines after `key: |`, indented",
}


@dataclass(frozen=True)
class Document:
    """A file's values, the line of each, and what is wrong with the file as YAML.

    `data` leaves out what a problem is about (the second of two equal keys, a key without a value).
    """

    data: object
    lines: Mapping[Place, int]
    problems: tuple[Problem, ...]

    def line(self, place: Place) -> int | None:
        """The line of what stands at `place`, or of the nearest thing around it."""
        while place and place not in self.lines:
            place = place[:-1]
        return self.lines.get(place)


class _UnreadableError(Exception):
    """The text can't be taken any further; carries the one problem to report."""

    def __init__(self, message: str, line: int | None, cure: str | None = None) -> None:
        super().__init__(message)
        self.problem = Problem(message, line, cure)


@dataclass
class _Node:
    kind: Literal["scalar", "list", "map"]
    line: int
    scalar: str | int | float | bool | None = None
    items: list[_Node] = field(default_factory=list)
    """Of a map: keys and values in turn."""
    complete: bool = True


def read(text: str) -> Document:
    """The document in `text`; what can't be read is among its problems, never an exception."""
    try:
        _usable(text)
        node = _tree(text)
        return _Flattening().document(node)
    except _UnreadableError as stop:
        return Document(None, {}, (stop.problem,))


def _usable(text: str) -> None:
    if len(text) > LARGEST:
        raise _UnreadableError(f"larger than {LARGEST // 1024**2} MiB", None, "is it a task file?")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        line = text.count("\n", 0, error.start) + 1
        raise _UnreadableError("not UTF-8 text", line, "save the file as UTF-8") from error


def _tree(text: str) -> _Node:
    try:
        return _Growing().grow(text)
    except yaml.reader.ReaderError as error:
        raise _UnreadableError(*_control_character(text), "remove it; YAML takes only text") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        message = " ".join(filter(None, (error.context, error.problem))) or "not YAML"
        cure = next((cure for start, cure in _CURES.items() if start in message), None)
        raise _UnreadableError(f"not YAML: {message}", mark.line + 1 if mark else None, cure) from error
    except (yaml.YAMLError, ValueError) as error:
        raise _UnreadableError(f"not YAML: {error}", None) from error


def _control_character(text: str) -> tuple[str, int | None]:
    found = re.search("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", text)
    if found is None:
        return "a character that YAML does not take", None
    return f"the character U+{ord(found[0]):04X}", text.count("\n", 0, found.start()) + 1


class _Growing:
    """Makes a tree of nodes from events; an alias is a second reference to the same node."""

    def __init__(self) -> None:
        self._anchors: dict[str, _Node] = {}
        self._open: list[_Node] = []
        self._root: _Node | None = None
        self._documents = 0

    def grow(self, text: str) -> _Node:
        for count, event in enumerate(yaml.parse(text, Loader=_LOADER)):
            line = event.start_mark.line + 1 if event.start_mark else 1
            if count > 2 * MOST_VALUES:
                raise _UnreadableError(f"more than {MOST_VALUES} values", line, "split the file")
            self._take(event, line)
        if self._root is None:
            raise _UnreadableError("the file is empty", None, "`corral init` writes a first one")
        return self._root

    def _take(self, event: yaml.Event, line: int) -> None:
        if isinstance(event, yaml.DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                raise _UnreadableError("a second document starts here", line, "one file holds one document")
        elif isinstance(event, yaml.AliasEvent):
            self._put(self._aliased(event.anchor or "", line))
        elif isinstance(event, yaml.CollectionEndEvent):
            self._open.pop().complete = True
        elif isinstance(event, yaml.ScalarEvent):
            node = _Node("scalar", line, scalar=_value(event, line))
            self._put(node)
            self._remember(event, node)
        elif isinstance(event, yaml.SequenceStartEvent | yaml.MappingStartEvent):
            self._begin(event, line)

    def _begin(self, event: yaml.SequenceStartEvent | yaml.MappingStartEvent, line: int) -> None:
        if event.tag is not None:
            raise _tag(event.tag, line)
        if len(self._open) >= DEEPEST:
            raise _UnreadableError(f"nested more than {DEEPEST} deep", line, "is it a task file?")
        kind: Literal["map", "list"] = "map" if isinstance(event, yaml.MappingStartEvent) else "list"
        node = _Node(kind, line, complete=False)
        self._put(node)
        self._remember(event, node)
        self._open.append(node)

    def _put(self, node: _Node) -> None:
        if self._open:
            self._open[-1].items.append(node)
        else:
            self._root = node

    def _remember(self, event: yaml.NodeEvent, node: _Node) -> None:
        if event.anchor is not None:
            self._anchors[event.anchor] = node

    def _aliased(self, anchor: str, line: int) -> _Node:
        node = self._anchors.get(anchor)
        if node is None:
            raise _UnreadableError(
                f"there is no &{anchor} for the alias *{anchor}", line, "define it further up"
            )
        if not node.complete:
            raise _UnreadableError(f"the alias *{anchor} contains itself", line, "write the value out")
        return node


def _value(event: yaml.ScalarEvent, line: int) -> str | int | float | bool | None:
    """What a scalar means: in quotes or a block always text, else a constant, a number or text."""
    text = event.value
    # libyaml reports the tag "!" for a scalar that says it is text; every other tag is refused.
    if event.tag not in {None, "!"}:
        raise _tag(event.tag, line)
    if "\0" in text or not _encodable(text):
        raise _UnreadableError(
            "text with a character that no command or file can hold", line, "remove the escape"
        )
    # A plain scalar's style is empty in one parser and None in the other.
    if event.style or event.tag is not None:
        return text
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if _NUMBER.fullmatch(text) else text


def _encodable(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _tag(tag: str, line: int) -> _UnreadableError:
    return _UnreadableError(
        f"the tag {tag!r} is not taken", line, "remove it: a task file holds plain values"
    )


class _Flattening:
    """Makes plain values and their lines from nodes, aliases written out, within the bounds."""

    def __init__(self) -> None:
        self._lines: dict[Place, int] = {}
        self._problems: list[Problem] = []
        self._characters = 0

    def document(self, node: _Node) -> Document:
        if node.kind == "scalar" and node.scalar is None:
            raise _UnreadableError("the file is empty", None, "`corral init` writes a first one")
        data = self._plain(node, (), node.line)
        return Document(data, self._lines, tuple(self._problems))

    def _plain(self, node: _Node, place: Place, line: int) -> object:
        self._lines[place] = line
        self._characters += len(node.scalar) if isinstance(node.scalar, str) else 0
        if len(self._lines) > MOST_VALUES or self._characters > LARGEST:
            raise _UnreadableError(
                "too many values, with its aliases written out", node.line, "use fewer aliases"
            )
        if len(place) > DEEPEST:
            raise _UnreadableError(f"nested more than {DEEPEST} deep", line, "is it a task file?")
        if node.kind == "list":
            return self._list(node, place, line)
        return node.scalar if node.kind == "scalar" else dict(self._pairs(node, place, line))

    def _list(self, node: _Node, place: Place, line: int) -> list[object]:
        values = []
        for index, item in enumerate(node.items):
            # What an alias brings in stands further up; its line is that of the alias.
            value = self._plain(item, (*place, index), max(item.line, line))
            if value is None:
                cure = "give it a value, or remove it"
                self._problems.append(Problem("an item of a list is empty", item.line, cure))
            else:
                values.append(value)
        return values

    def _pairs(self, node: _Node, place: Place, around: int) -> Iterator[tuple[str, object]]:
        seen: dict[str, int] = {}
        for key_node, value_node in zip(node.items[::2], node.items[1::2], strict=True):
            key, line = key_node.scalar, max(key_node.line, around)
            if not isinstance(key, str):
                self._problems.append(Problem("a key that is not text", line, "put the key into quotes"))
            elif key in seen:
                cure = f"keep one of them; the first is in line {seen[key]}"
                self._problems.append(Problem(f"the key {shown(key)} stands here twice", line, cure))
            else:
                seen[key] = line
                value = self._plain(value_node, (*place, key), line)
                if value is None:
                    cure = "give it a value, or remove the line"
                    cure = f"put it into quotes: '{PLACE}'" if key == PLACE.strip("{}") else cure
                    self._problems.append(Problem(f"{shown(key)} has no value", line, cure))
                else:
                    yield key, value


def shown(text: object) -> str:
    """A value out of a file, for a message: on one line, inert and short."""
    if isinstance(text, bool):
        return str(text).lower()
    plain = ascii(text) if isinstance(text, str) and not text.isprintable() else repr(text)
    return plain if len(plain) <= 60 else f"{plain[:57]}…"
