"""The safe subset of a repository's dev container file: read, checked, turned into values.

A dev container file may ask for host commands, mounts, privileges and downloads. Only what describes the
image and its preparation is taken; every other key is refused by name, or left out on purpose.
Format: https://containers.dev/implementors/json_reference/
"""

from __future__ import annotations

import json
import posixpath
import re
import shlex
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from runner.errors import UsageError

PLACES = (".devcontainer/devcontainer.json", ".devcontainer.json")
"""Where the file is looked for, in this order."""

HARMLESS = frozenset(
    {
        "$schema",
        "name",
        "customizations",
        "forwardPorts",
        "portsAttributes",
        "otherPortsAttributes",
        "shutdownAction",
        "waitFor",
        "userEnvProbe",
        "hostRequirements",
        "updateRemoteUserUID",
        "overrideCommand",
        "init",
    }
)
"""Keys for editors, or about what every box has anyway; they change nothing here."""

_TAKEN = frozenset({"image", "build", "containerEnv", "remoteUser", "postCreateCommand"})
_TAKEN_OF_BUILD = frozenset({"dockerfile", "context", "args", "target"})
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NOT_THEIRS = re.compile(
    r"(GIT_|LD_|CORRAL|DOCKER_|ANTHROPIC_|CLAUDE_|OPENAI_|GEMINI_|GOOGLE_).*"
    r"|PATH|HOME|USER|LOGNAME|SHELL|ENV|BASH_ENV|IFS|PWD|TMPDIR"
)
_SECRET = re.compile(r"(.*_)?(KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIALS?)", re.IGNORECASE)
_USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}")


@dataclass(frozen=True)
class Build:
    """A Dockerfile to build; paths are relative to the repository's root."""

    dockerfile: str
    context: str
    args: Mapping[str, str] = field(default_factory=dict)
    target: str | None = None


@dataclass(frozen=True)
class DevContainer:
    """What of a dev container file counts: `image` or `build`, and what is set and run on it.

    Attributes:
        image: An image by name, or None.
        build: A Dockerfile, or None.
        env: Variables of the image.
        user: Who runs `commands`; None is root.
        commands: The post-create commands, for `sh`, in order.
        unused: Keys that are there and change nothing here.
    """

    image: str | None = None
    build: Build | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    user: str | None = None
    commands: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()


def find(read: Callable[[str], bytes | None], ignore: Collection[str] = ()) -> DevContainer:
    """The dev container of a commit.

    Args:
        read: The content of a file of the commit.
        ignore: Keys that are left out on purpose.

    Raises:
        UsageError: There is none, or it can't be used as it is.
    """
    for place in PLACES:
        content = read(place)
        if content is not None:
            return parse(content, place, ignore)
    raise UsageError(
        f"the base commit has no {' or '.join(PLACES)}",
        cure="commit one, or say `image: {build: DIR}`, `{name: IMAGE}` or nothing for Corral's own image",
    )


def parse(content: bytes, place: str, ignore: Collection[str] = ()) -> DevContainer:
    """The dev container that a file describes; `place` is the file's path in the repository.

    Raises:
        UsageError: The file is broken, or asks for something outside the safe subset.
    """
    keys = {key: value for key, value in _object(content, place).items() if key not in ignore}
    refused = sorted(set(keys) - _TAKEN - HARMLESS)
    if refused:
        raise UsageError(
            f"{place}: {_listed(refused)} not supported in an unattended box",
            cure="choose another image, or leave them out on purpose with "
            f"`image: {{devcontainer: {{ignore: [{', '.join(refused)}]}}}}`",
        )
    return DevContainer(
        image=_image(keys, place),
        build=_build(keys.get("build"), place, ignore),
        env=_env(keys.get("containerEnv", {}), place),
        user=_user(keys.get("remoteUser"), place),
        commands=_commands(keys.get("postCreateCommand"), place),
        unused=tuple(sorted(HARMLESS & set(keys) - {"$schema", "name"})),
    )


def plain_json(text: str) -> str:
    """JSON with comments and trailing commas, without them; other characters and all lines stay in place."""
    out: list[str] = []
    for match in re.finditer(r'"(?:[^"\\\n]|\\.)*"|//[^\n]*|/\*.*?\*/|.', text, re.DOTALL):
        piece = match[0]
        if piece.startswith(("//", "/*")):
            piece = re.sub(r"[^\n]", " ", piece)
        if piece in {"]", "}"}:
            _drop_comma(out)
        out.append(piece)
    return "".join(out)


def _drop_comma(out: list[str]) -> None:
    """Blank the last piece that isn't white space, if it is a comma."""
    for index in range(len(out) - 1, -1, -1):
        if out[index].strip():
            if out[index] == ",":
                out[index] = " "
            return


def _object(content: bytes, place: str) -> dict[str, Any]:
    try:
        value = json.loads(plain_json(content.decode("utf-8-sig")))
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{place} is not JSON (with comments): {error}", cure="mend the file") from error
    if not isinstance(value, dict):
        raise UsageError(f"{place} holds no object", cure="mend the file")
    return value


def _image(keys: Mapping[str, Any], place: str) -> str | None:
    if ("image" in keys) == ("build" in keys):
        raise UsageError(
            f"{place}: exactly one of image and build is needed",
            cure="name an image, or a Dockerfile to build; compose files are not supported",
        )
    return _text(keys["image"], "image", place) if "image" in keys else None


def _build(value: Any, place: str, ignore: Collection[str]) -> Build | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        raise _wrong("build", "an object", place)
    keys = {key: item for key, item in value.items() if f"build.{key}" not in ignore}
    refused = [f"build.{key}" for key in sorted(set(keys) - _TAKEN_OF_BUILD)]
    if refused or "dockerfile" not in keys:
        raise UsageError(
            f"{place}: {_listed(refused)} not supported" if refused else f"{place}: build needs a dockerfile",
            cure="build takes dockerfile, context, args and target; others can be left out on purpose with "
            f"`image: {{devcontainer: {{ignore: [{', '.join(refused) or 'build.KEY'}]}}}}`",
        )
    folder = posixpath.dirname(place)
    return Build(
        dockerfile=_path(folder, _text(keys["dockerfile"], "build.dockerfile", place), place),
        context=_path(folder, _text(keys.get("context", "."), "build.context", place), place),
        args=_texts(keys.get("args", {}), "build.args", place),
        target=_text(keys["target"], "build.target", place) if "target" in keys else None,
    )


def _env(value: Any, place: str) -> Mapping[str, str]:
    env = _texts(value, "containerEnv", place)
    for name in env:
        if not _NAME.fullmatch(name) or _NOT_THEIRS.fullmatch(name) or _SECRET.fullmatch(name):
            raise UsageError(
                f"{place}: containerEnv can't set {name!r} here",
                cure="variables of git, the linker, agents and the shell, and secrets, stay out of images; "
                "leave out containerEnv with `image: {devcontainer: {ignore: [containerEnv]}}`",
            )
    return env


def _user(value: Any, place: str) -> str | None:
    if value is None:
        return None
    name = _text(value, "remoteUser", place)
    if not _USER.fullmatch(name):
        raise _wrong("remoteUser", "the name of a user of the image", place)
    return None if name == "root" else name


def _commands(value: Any, place: str) -> tuple[str, ...]:
    """A command may be a line for the shell, a list of arguments, or an object of such by name."""
    if value is None or value in ("", [], {}):
        return ()
    if isinstance(value, dict):
        return tuple(command for item in value.values() for command in _commands(item, place))
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return (shlex.join(value),)
    return (_text(value, "postCreateCommand", place),)


def _texts(value: Any, key: str, place: str) -> Mapping[str, str]:
    if not isinstance(value, dict):
        raise _wrong(key, "an object of strings", place)
    return {name: "" if item == "" else _text(item, f"{key}.{name}", place) for name, item in value.items()}


def _text(value: Any, key: str, place: str) -> str:
    if not isinstance(value, str) or not value or "\0" in value:
        raise _wrong(key, "a string", place)
    if "${" in value and not key.startswith("postCreateCommand"):
        raise UsageError(
            f"{place}: {key} uses the variable {value!r}, which an unattended box does not have",
            cure="write the value out",
        )
    if "\n" in value and not key.startswith("postCreateCommand"):
        raise _wrong(key, "one line", place)
    return value


def _path(folder: str, path: str, place: str) -> str:
    joined = posixpath.normpath(posixpath.join(folder, path))
    if posixpath.isabs(joined) or joined == ".." or joined.startswith("../"):
        raise UsageError(f"{place}: {path!r} lies outside the repository", cure="keep it inside")
    return joined


def _wrong(key: str, wanted: str, place: str) -> UsageError:
    return UsageError(f"{place}: {key} must be {wanted}", cure="mend the file")


def _listed(names: list[str]) -> str:
    return f"{', '.join(names)} {'is' if len(names) == 1 else 'are'}"
