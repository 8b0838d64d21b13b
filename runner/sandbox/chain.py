"""From a source to its chain of layers: which images it needs, in order, before any is built.

Reads the base commit through `CommitFiles`, and asks for named images through a function; the rest is
decided in `layers`, `devcontainer` and `inputs`.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import IO, Protocol

from runner.errors import UsageError
from runner.sandbox import devcontainer, inputs, layers
from runner.sandbox.binaries import pin
from runner.sandbox.layers import Export, Layer, Parent, Recipe, Step
from runner.tasks.plan import ImageSpec, Source


class CommitFiles(Protocol):
    """The files of one commit; `git.base_store.BaseStore` is one."""

    def tree(self) -> Sequence[inputs.Entry]:
        """Every file."""
        ...

    def tree_id(self, path: str) -> str | None:
        """The id of the tree at a directory, or None."""
        ...

    def read(self, path: str) -> bytes | None:
        """A file's content, or None."""
        ...

    def export(self, path: str = ".") -> AbstractContextManager[IO[bytes]]:
        """An uncompressed tar stream of the files below a directory."""
        ...


@dataclass(frozen=True)
class Chain:
    """The images of a source, in order.

    Attributes:
        named: The image by name that the chain stands on, if it does.
        layers: What is built.
        known: False if `named` isn't there yet, so that the keys of what stands on it are unknown.
    """

    layers: tuple[Layer, ...]
    named: str | None = None
    known: bool = True


@dataclass(frozen=True)
class _Ground:
    """A development image, as the rest of the chain needs it; `parent` is None while it is unknown."""

    parent: Parent | None
    layers: tuple[Layer, ...] = ()
    named: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    steps: tuple[Step, ...] = ()


@dataclass(frozen=True)
class Choices:
    """What is the same for all chains of one installation.

    Attributes:
        recipe: The recipe of that name below `images/`.
        uid: The boxes' uid.
        platform: For which agent binaries and base are chosen, such as `linux-x64`.
    """

    recipe: Callable[[str], Recipe]
    uid: int
    platform: str


def steward_chain(choices: Choices) -> Chain:
    """The images of Corral's own containers."""
    base = layers.base_layer(choices.platform)
    return Chain((base, layers.steward_layer(choices.recipe("steward"), base)))


def chain(
    source: Source,
    cli: str | None,
    files: CommitFiles,
    choices: Choices,
    image_id: Callable[[str], str | None],
) -> Chain:
    """The images that a source's attempts need.

    Args:
        source: Where attempts start from.
        cli: The agent CLI whose layer is wanted, or None.
        files: The base commit.
        choices: What all chains share.
        image_id: The id of an image by name, or None if it isn't there (yet).

    Raises:
        UsageError: The image that the source asks for can't be made of its base commit.
        ImageError: The agent CLI isn't pinned for this platform.
    """
    ground = _ground(source.image, files, choices, image_id)
    if ground.parent is None:
        return Chain(ground.layers, ground.named, known=False)
    made = [layers.tools_layer(choices.recipe("tools"), ground.parent, choices.uid, ground.env)]
    steps = (*ground.steps, *(Step(command) for command in source.setup))
    if steps:
        seen = inputs.seen_key([step.command for step in steps], files.tree(), files.read)
        made.append(layers.setup_layer(choices.recipe("setup"), made[-1].as_parent, choices.uid, steps, seen))
    if cli is not None:
        pinned = pin(cli, choices.platform)
        recipe = choices.recipe(f"agent-{cli}")
        made.append(layers.agent_layer(recipe, made[-1].as_parent, cli, pinned.version, pinned.checksum))
    return Chain((*ground.layers, *made), ground.named)


def check(spec: ImageSpec, files: CommitFiles) -> tuple[str, ...]:
    """See, without any engine, that an image can be made of a base commit; says what of it is left out.

    Raises:
        UsageError: It can't.
    """
    if spec.kind == "build" and spec.path is not None:
        _built(_directory_build(spec.path), files)
    if spec.kind != "devcontainer":
        return ()
    wanted = devcontainer.find(files.read, spec.ignore)
    _dev_container(wanted, files, lambda _: None)
    return wanted.unused


def _ground(
    spec: ImageSpec, files: CommitFiles, choices: Choices, image_id: Callable[[str], str | None]
) -> _Ground:
    if spec.kind == "name" and spec.name is not None:
        return _named(spec.name, image_id)
    if spec.kind == "build" and spec.path is not None:
        return _built(_directory_build(spec.path), files)
    if spec.kind == "devcontainer":
        return _dev_container(devcontainer.find(files.read, spec.ignore), files, image_id)
    base = layers.base_layer(choices.platform)
    dev = layers.dev_layer(choices.recipe("dev"), base)
    return _Ground(dev.as_parent, (base, dev))


def _named(name: str, image_id: Callable[[str], str | None]) -> _Ground:
    found = image_id(name)
    return _Ground(Parent(found, found) if found else None, named=name)


def _directory_build(path: str) -> devcontainer.Build:
    context = posixpath.normpath(path)
    if posixpath.isabs(context) or context.split("/")[0] == "..":
        raise UsageError(
            f"image: {{build: {path}}} lies outside the repository",
            cure="name a directory of the repository that holds a Dockerfile",
        )
    return devcontainer.Build(dockerfile=posixpath.join(context, "Dockerfile"), context=context)


def _dev_container(
    wanted: devcontainer.DevContainer, files: CommitFiles, image_id: Callable[[str], str | None]
) -> _Ground:
    build = wanted.build
    ground = _built(build, files) if build else _named(str(wanted.image), image_id)
    steps = tuple(Step(command, wanted.user) for command in wanted.commands)
    return _Ground(ground.parent, ground.layers, ground.named, wanted.env, steps)


def _built(build: devcontainer.Build, files: CommitFiles) -> _Ground:
    path = posixpath.normpath(build.dockerfile)
    text = files.read(path)
    tree = files.tree_id(build.context)
    if text is None or tree is None:
        missing = path if text is None else f"{build.context}/"
        raise UsageError(
            f"the base commit has no {missing}, from which the image is to be built",
            cure="commit it, or correct `image:`; builds see committed files only",
        )
    layer = layers.user_layer(
        text.decode("utf-8", "surrogateescape"),
        Export(build.context),
        tree,
        build.args,
        build.target,
        f"the repository's own image, {path}",
    )
    return _Ground(layer.as_parent, (layer,))
