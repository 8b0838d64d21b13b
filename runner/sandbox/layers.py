"""What images a source needs, decided as values: the layers, their keys and their Dockerfiles.

    base → dev → tools → setup → agent        for the agent and its check
    base → steward                            for Corral's own containers

Every layer is an image of its own, named after the hash of all that goes into it, so whatever has the
same key is the same image and is built once. Nothing here touches the engine (`images` does).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

LayerName = Literal["base", "dev", "tools", "setup", "agent-claude", "agent-codex", "steward"]

_AGENTS: dict[str, tuple[LayerName, str]] = {
    "claude": ("agent-claude", "Claude Code"),
    "codex": ("agent-codex", "Codex"),
}
"""The agent CLIs that have a layer: its name, and the CLI's."""

LABEL_LAYER = "corral.image"
LABEL_KEY = "corral.key"
LABEL_PARENT = "corral.parent"
LABEL_DESCRIPTION = "corral.description"

BASE_REFERENCE = "debian:bookworm-20250520-slim"
"""The base where a registry answers. Dated tags of the official image are not moved, and the content id
of what was pulled is recorded in the label `corral.base.image`. (Debian publishes one for each of its
builds: https://hub.docker.com/_/debian, "Shared Tags".)"""

BASE_SUITE = "bookworm"
"""The distribution's release that is bootstrapped where no registry answers."""

DOCKERFILE = ".corral.Dockerfile"
"""Name of the Dockerfile in every build context; no repository's own file is called so."""


def tag_of(labels: Mapping[str, str]) -> str:
    """The name of the image that these labels describe.

    An image that somebody builds upon one of ours inherits its labels, and is none of ours: by its name it
    can be told.
    """
    return f"corral-{labels.get(LABEL_LAYER, '')}:{labels.get(LABEL_KEY, '')[:16]}"


@dataclass(frozen=True)
class File:
    """A file of a build context."""

    path: str
    content: bytes
    mode: int = 0o644


@dataclass(frozen=True)
class Recipe:
    """A directory below `images/`: its Dockerfile and the other files."""

    dockerfile: str
    files: tuple[File, ...] = ()


@dataclass(frozen=True)
class Export:
    """The base commit's files below `path` go into the context below `prefix` (empty: at its top)."""

    path: str
    prefix: str = ""


@dataclass(frozen=True)
class Parent:
    """What a layer is laid on: an image by name or id, and the key that stands for it in other keys."""

    reference: str
    key: str


@dataclass(frozen=True)
class Step:
    """One command of setup; `user` is a user of the image, None for root."""

    command: str
    user: str | None = None


@dataclass(frozen=True)
class Layer:
    """One image to be built.

    Attributes:
        name: Which layer.
        key: Hash of everything that goes into it.
        description: For people.
        parent: The parent's key, empty for a layer that stands on a user's own Dockerfile.
        dockerfile: Its text, before a CA bundle is added.
        files: The context's files besides the Dockerfile.
        args: Build arguments.
        export: What of the base commit is in the context.
        agent: The agent CLI whose programs are in the context, as they lie in its directory.
        target: The Dockerfile's stage, if not the last.
        network: Whether its steps use the network, and so want the CA bundle.
    """

    name: LayerName
    key: str
    description: str
    parent: str = ""
    dockerfile: str = ""
    files: tuple[File, ...] = ()
    args: Mapping[str, str] = field(default_factory=dict)
    export: Export | None = None
    agent: str | None = None
    target: str | None = None
    network: bool = True

    @property
    def tag(self) -> str:
        """The image's name."""
        return tag_of(self.labels)

    @property
    def as_parent(self) -> Parent:
        """This layer as what the next one is laid on."""
        return Parent(self.tag, self.key)

    @property
    def labels(self) -> dict[str, str]:
        """The labels by which the image is found again."""
        return {
            LABEL_LAYER: self.name,
            LABEL_KEY: self.key,
            LABEL_PARENT: self.parent,
            LABEL_DESCRIPTION: self.description,
        }


def digest(*parts: str | bytes) -> str:
    """A hash of a sequence; where one part ends and the next begins matters."""
    total = hashlib.sha256()
    for part in parts:
        data = part.encode("utf-8", "surrogateescape") if isinstance(part, str) else part
        total.update(b"%d:" % len(data) + data)
    return total.hexdigest()


def base_layer(platform: str) -> Layer:
    """The distribution that Corral's own images stand on, for a platform such as `linux-x64`."""
    key = digest("base", "2", BASE_REFERENCE, BASE_SUITE, platform)
    return Layer("base", key, f"Debian {BASE_SUITE}, minimal")


def dev_layer(recipe: Recipe, base: Layer) -> Layer:
    """Corral's own development image."""
    return _on("dev", "Corral's own development image", recipe, base.as_parent)


def steward_layer(recipe: Recipe, base: Layer) -> Layer:
    """The image of Corral's own containers."""
    return _on("steward", "Corral's own containers: gathering and care of workspaces", recipe, base.as_parent)


def user_layer(
    dockerfile: str,
    export: Export,
    tree: str,
    args: Mapping[str, str],
    target: str | None,
    description: str,
) -> Layer:
    """A development image from a Dockerfile of the base commit; `tree` is the id of the context's tree."""
    key = digest("user", dockerfile, tree, *_pairs(args), target or "")
    return Layer(
        "dev", key, description, dockerfile=dockerfile, args=dict(args), export=export, target=target
    )


def tools_layer(recipe: Recipe, parent: Parent, uid: int, env: Mapping[str, str]) -> Layer:
    """What a box needs, on any development image; `env` is set in the image for all that follows."""
    lines = "".join(f"ENV {name}={_quoted(value)}\n" for name, value in sorted(env.items()))
    own = Recipe(recipe.dockerfile.rstrip("\n") + "\n" + lines, recipe.files)
    return _on("tools", f"the development image made fit for boxes of uid {uid}", own, parent, _uid(uid))


def setup_layer(recipe: Recipe, parent: Parent, uid: int, steps: tuple[Step, ...], seen: str) -> Layer:
    """A repository's setup.

    Args:
        recipe: `images/setup`.
        parent: The tools layer.
        uid: Who owns what is kept for the workspaces.
        steps: The commands, in order.
        seen: Key of all that the commands can see of their inputs (`inputs`).
    """
    with_steps = Recipe(recipe.dockerfile, (*recipe.files, *_step_files(steps)))
    layer = _on("setup", _setup_words(steps), with_steps, parent, _uid(uid), seen)
    return Layer(**{**vars(layer), "export": Export(".", "workspace/")})


def agent_layer(recipe: Recipe, parent: Parent, cli: str, version: str, checksum: str) -> Layer:
    """An agent CLI, as its pinned programs.

    Raises:
        ValueError: There is no such agent layer.
    """
    if cli not in _AGENTS:
        raise ValueError(f"no image layer for the agent CLI {cli!r}")
    name, words = _AGENTS[cli]
    layer = _on(name, f"{words} {version}", recipe, parent, {}, checksum)
    return Layer(**{**vars(layer), "agent": cli, "network": False})


def _on(
    name: LayerName,
    description: str,
    recipe: Recipe,
    parent: Parent,
    args: Mapping[str, str] | None = None,
    extra: str = "",
) -> Layer:
    files = [part for f in sorted(recipe.files, key=lambda f: f.path) for part in _file_parts(f)]
    key = digest(name, parent.key, recipe.dockerfile, extra, *_pairs(args or {}), *files)
    return Layer(
        name,
        key,
        description,
        parent=parent.key,
        dockerfile=recipe.dockerfile,
        files=recipe.files,
        args={"BASE": parent.reference, **(args or {})},
    )


def _uid(uid: int) -> dict[str, str]:
    return {"BOX_UID": str(uid)}


def _pairs(values: Mapping[str, str]) -> Iterable[str]:
    return [part for pair in sorted(values.items()) for part in pair]


def _file_parts(file: File) -> tuple[str | bytes, ...]:
    return (file.path, oct(file.mode), file.content)


def _step_files(steps: tuple[Step, ...]) -> Iterable[File]:
    for number, step in enumerate(steps, start=1):
        yield File(f"steps/{number:02}.sh", f"{step.command}\n".encode())
        if step.user is not None:
            yield File(f"steps/{number:02}.user", f"{step.user}\n".encode())


def _setup_words(steps: tuple[Step, ...]) -> str:
    words = "; ".join(step.command for step in steps).replace("\n", " ")
    return f"setup: {words}" if len(words) <= 200 else f"setup: {words[:197]}…"


def _quoted(value: str) -> str:
    """A value in a Dockerfile's ENV, where quotes, backslashes and dollars are special."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$")
    return f'"{escaped}"'
