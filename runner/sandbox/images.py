"""Images are prepared once: builds what a source needs and doesn't exist yet, shows and prunes what does.

An image that exists under its content-addressed name is used as it is. Callers side by side, threads
or processes, build each image once: the others wait for its lock.
"""

from __future__ import annotations

import platform
import posixpath
import re
import tarfile
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from runner.errors import HostError, ImageError, UsageError
from runner.locks import locked
from runner.sandbox import base, binaries, context, dockerfile
from runner.sandbox.chain import Chain, Choices, CommitFiles, chain, steward_chain
from runner.sandbox.engine import Engine, ImageFacts, context_filter
from runner.sandbox.layers import (
    DOCKERFILE,
    LABEL_KEY,
    LABEL_LAYER,
    LABEL_PARENT,
    File,
    Layer,
    Recipe,
    dev_layer,
    tag_of,
)
from runner.tasks.plan import Source

OnLine = Callable[[str], None]

_CHECKOUT = Path(__file__).resolve().parents[2] / "images"
RECIPES = _CHECKOUT if _CHECKOUT.is_dir() else Path(__file__).resolve().parents[1] / "recipes"
"""The recipes of the images: beside the package in a checkout, inside it where it was installed."""

_GIT_SETTINGS = re.compile(
    r"GIT_(DIR|WORK_TREE|INDEX_FILE|OBJECT_DIRECTORY|ALTERNATE_OBJECT_DIRECTORIES|COMMON_DIR|NAMESPACE"
    r"|CEILING_DIRECTORIES|CONFIG.*|EXEC_PATH|EXTERNAL_DIFF|SSH.*|PROXY_COMMAND|TEMPLATE_DIR"
    r"|SHALLOW_FILE|GRAFT_FILE|REPLACE_REF_BASE|ATTR_SOURCE|QUARANTINE_PATH)"
)
"""Variables of an image that would send git in a box somewhere else than to its workspace."""

_KERNELS = re.compile(r"/+(proc|sys|dev)(/|$)")
"""Places where a path can lead out of a container that is being set up: /proc/self/fd/N (CVE-2024-21626)."""


@dataclass(frozen=True)
class Prepared:
    """One image of a chain, for people. `tag` is None while it isn't known."""

    layer: str
    description: str
    tag: str | None
    exists: bool


class Images:
    """The images of one installation on one engine."""

    def __init__(
        self,
        engine: Engine,
        home: Path,
        uid: int,
        files: Callable[[Source], CommitFiles],
        ca_bundle: Path | None = None,
        recipes: Path = RECIPES,
    ) -> None:
        """Nothing is asked of the engine yet.

        Args:
            engine: The engine.
            home: The state directory; `locks/` and `cache/` in it are used.
            uid: The boxes' uid.
            files: The files of a source's base commit.
            ca_bundle: Certificates that builds need on this network, in PEM.
            recipes: The directory `images/`.
        """
        self._engine = engine
        self._home = home
        self._files = files
        self._ca_bundle = ca_bundle
        self._recipes = recipes
        self._choices = Choices(self._recipe, uid, host_platform())

    def prepare(self, source: Source, cli: str | None, on_line: OnLine = lambda _: None) -> str:
        """Make what a source's attempts need, as far as it doesn't exist, and return the last image's id.

        Args:
            source: Where attempts start from.
            cli: The agent CLI whose layer is needed, or None.
            on_line: Called with each line of build output.

        Raises:
            ImageError: Something could not be pulled, bootstrapped, downloaded or built.
            UsageError: The source asks for an image that can't be used.
        """
        files = self._files(source)
        return self._make_all(
            chain(source, cli, files, self._choices, lambda name: self._obtain(name, on_line)), files, on_line
        )

    def steward(self, on_line: OnLine = lambda _: None) -> str:
        """Make the image of Corral's own containers, if it doesn't exist, and return its id.

        Raises:
            ImageError: It could not be made.
        """
        return self._make_all(steward_chain(self._choices), None, on_line)

    def describe(self, source: Source, cli: str | None) -> list[Prepared]:
        """What `prepare` would make or use, without making anything.

        Raises:
            UsageError: The source asks for an image that can't be used.
        """
        return self._shown(chain(source, cli, self._files(source), self._choices, self._known_id))

    def describe_steward(self) -> list[Prepared]:
        """The same for Corral's own containers."""
        return self._shown(steward_chain(self._choices))

    def held(self) -> list[ImageFacts]:
        """All images that Corral made on this engine, newest first."""
        found = [facts for facts in self._engine.images(LABEL_LAYER) if tag_of(facts.labels) in facts.tags]
        return sorted(found, key=lambda facts: facts.created or 0, reverse=True)

    def prune(self, keep: Collection[str] = ()) -> list[str]:
        """Remove the images that Corral made and nothing needs now; returns their names.

        What stays: the current steward and default development image, images in `keep`, images that a
        container uses, and whatever any of these stands on.

        Args:
            keep: Ids of images that are still wanted, such as those of unfinished runs.
        """
        held = self.held()
        current = {layer.key for layer in (*self._default_layers(), *steward_chain(self._choices).layers)}
        wanted = {facts.labels[LABEL_KEY] for facts in held if facts.id in set(keep)} | current
        removed: list[str] = []
        for facts in removal_order(held):
            if facts.labels[LABEL_KEY] in wanted or not self._remove(facts):
                wanted |= {facts.labels[LABEL_KEY], facts.labels.get(LABEL_PARENT, "")}
            else:
                removed.append(tag_of(facts.labels))
        return removed

    # -- inside

    def _make_all(self, wanted: Chain, files: CommitFiles | None, on_line: OnLine) -> str:
        last = self._engine.image(wanted.layers[-1].tag)
        if last is not None:
            return last.id
        if wanted.named is not None:
            self._check(wanted.named)
        made = [self._ensure(layer, files, on_line) for layer in wanted.layers]
        return made[-1]

    def _ensure(self, layer: Layer, files: CommitFiles | None, on_line: OnLine) -> str:
        with locked(self._home / "locks" / f"image-{layer.key[:16]}"):
            found = self._engine.image(layer.tag)
            image = found.id if found else self._make(layer, files, on_line)
        if layer.name == "dev":
            self._check(layer.tag)
        return image

    def _make(self, layer: Layer, files: CommitFiles | None, on_line: OnLine) -> str:
        on_line(f"building {layer.tag}: {layer.description}")
        if layer.name == "base":
            return base.make_base(self._engine, layer, self._home / "cache", on_line)
        return self._build(layer, files, on_line)

    def _build(self, layer: Layer, files: CommitFiles | None, on_line: OnLine) -> str:
        own = self._own_files(layer)
        programs = self._programs(layer, on_line)
        try:
            return self._engine.build(
                _context(layer, own, programs, files),
                layer.tag,
                dockerfile=DOCKERFILE,
                labels=layer.labels,
                args=layer.args,
                target=layer.target,
                on_line=on_line,
            )
        except ImageError as error:
            raise explained(layer, error) from error
        except tarfile.TarError as error:
            raise ImageError(
                f"the base commit's files could not be read for {layer.tag}: {error}",
                cure="`git fsck` in the repository says what is wrong with it",
            ) from error

    def _own_files(self, layer: Layer) -> list[File]:
        """The layer's own files and its Dockerfile, with the CA bundle where there is one."""
        text, bundle = layer.dockerfile, []
        if layer.network and self._ca_bundle is not None:
            text = dockerfile.with_bundle(text)
            bundle.append(File(dockerfile.BUNDLE, _certificates(self._ca_bundle)))
        return [*layer.files, *bundle, File(DOCKERFILE, text.encode("utf-8", "surrogateescape"))]

    def _programs(self, layer: Layer, on_line: OnLine) -> dict[str, Path]:
        """The files of this host that a layer's context holds, by their paths there."""
        if layer.agent is None:
            return {}
        wanted = binaries.pin(layer.agent, self._choices.platform)
        place = binaries.fetch(wanted, self._home / "cache" / "cli", on_line)
        return {program.path: place / program.path for program in wanted.programs}

    def _check(self, reference: str) -> None:
        facts = self._engine.image(reference)
        if facts is not None:
            check_fit(facts, reference)

    def _obtain(self, name: str, on_line: OnLine) -> str | None:
        return self._known_id(name) or self._engine.pull(name, on_line)

    def _known_id(self, name: str) -> str | None:
        found = self._engine.image(name)
        return found.id if found else None

    def _shown(self, wanted: Chain) -> list[Prepared]:
        rows = []
        if wanted.named is not None:
            rows.append(Prepared("image", "an image by name", wanted.named, wanted.known))
        rows += [
            Prepared(layer.name, layer.description, layer.tag, self._engine.image(layer.tag) is not None)
            for layer in wanted.layers
        ]
        if not wanted.known:
            rows.append(Prepared("…", "known once the named image is there", None, exists=False))
        return rows

    def _default_layers(self) -> tuple[Layer, ...]:
        ground = steward_chain(self._choices).layers[0]
        return (ground, dev_layer(self._recipe("dev"), ground))

    def _remove(self, facts: ImageFacts) -> bool:
        with locked(self._home / "locks" / f"image-{facts.labels[LABEL_KEY][:16]}"):
            return self._engine.remove_image(tag_of(facts.labels))

    def _recipe(self, name: str) -> Recipe:
        folder = self._recipes / name
        if not (folder / "Dockerfile").is_file():
            raise HostError(
                f"this installation has no {folder}/Dockerfile", cure="install Corral again, with its images/"
            )
        others = sorted(file for file in folder.iterdir() if file.is_file() and file.name != "Dockerfile")
        return Recipe(
            (folder / "Dockerfile").read_text(),
            tuple(File(file.name, file.read_bytes(), 0o755) for file in others),
        )


def _context(
    layer: Layer, own: list[File], programs: Mapping[str, Path], files: CommitFiles | None
) -> Iterator[bytes]:
    with ExitStack() as stack:
        parts = []
        if layer.export is not None and files is not None:
            archive = stack.enter_context(files.export(layer.export.path))
            parts.append(context.of_archive(archive, layer.export.prefix, _sent(layer, files)))
        parts += [context.of_disk(file, path) for path, file in programs.items()]
        yield from context.pack(*parts, context.of_files(own))


def _certificates(bundle: Path) -> bytes:
    try:
        return bundle.read_bytes()
    except OSError as error:
        raise HostError(
            f"the certificates in {bundle} can't be read: {error.strerror}",
            cure="point CORRAL_CA_BUNDLE at a readable PEM file",
        ) from error


def host_platform() -> str:
    """The platform that this host's engine builds for, as agent packages name it."""
    machine = platform.machine().lower()
    return f"linux-{ {'x86_64': 'x64', 'amd64': 'x64', 'aarch64': 'arm64'}.get(machine, machine) }"


def check_fit(facts: ImageFacts, reference: str) -> None:
    """Refuse a development image that would undo a box's limits or lead its git astray.

    What else an image can bring is taken back by the tools layer and by `box.create_arguments`: entry
    point, command, health check, stop signal, user, working directory, and code to preload. Variables
    like PATH, LD_LIBRARY_PATH and BASH_ENV stay: they are part of the environment that was asked for, and
    act only inside its box.

    Raises:
        UsageError: It declares volumes, which lie on the host's disk outside any limit; sets variables
            that redirect git; leaves steps for the builds that stand on it; or works in a directory of
            the kernel's, which in builds can be one of the host's.
    """
    if facts.volumes:
        raise UsageError(
            f"the image {reference} declares VOLUME {', '.join(sorted(facts.volumes))}, which would lie "
            "outside the attempt's disk limit",
            cure="use an image without VOLUME; `docker export` piped to `docker import` makes one",
        )
    names = sorted(entry.partition("=")[0] for entry in facts.env)
    astray = [name for name in names if _GIT_SETTINGS.fullmatch(name)]
    if astray:
        raise UsageError(
            f"the image {reference} sets {', '.join(astray)}, which leads git in a box astray",
            cure="remove that ENV from its Dockerfile",
        )
    if facts.onbuild:
        raise UsageError(
            f"the image {reference} has ONBUILD {facts.onbuild[0]!r}, which would run in Corral's own layers",
            cure="write what its ONBUILD does into a Dockerfile on a base without it",
        )
    if _KERNELS.match(posixpath.normpath(facts.workdir)):
        raise UsageError(
            f"the image {reference} has WORKDIR {facts.workdir}, a directory of the kernel's",
            cure="remove that WORKDIR from its Dockerfile",
        )


def explained(layer: Layer, error: ImageError) -> ImageError:
    """The failure of a build, in the words of our own scripts where they said what it was."""
    said = [line.removeprefix("corral: ") for line in error.log if line.startswith("corral: setup: ")]
    if layer.name == "setup" and said:
        return ImageError(
            said[-1],
            cure="its last output is above; setup runs as root, with network and without secrets, "
            "on the committed files",
            log=error.log,
        )
    cures = {
        "tools": "a development image needs a shell, and git and socat or a package manager to install them",
        "agent-claude": "Claude Code is a glibc program; use an image of a glibc distribution, not Alpine",
        "dev": "its last output is above; builds see committed files only",
    }
    said = [line.removeprefix("corral: ") for line in error.log if line.startswith("corral: ")]
    return ImageError(said[-1] if said else error.message, cure=cures.get(layer.name), log=error.log)


def removal_order(held: Collection[ImageFacts]) -> list[ImageFacts]:
    """Images of ours, each before the one that it stands on."""
    by_key = {facts.labels[LABEL_KEY]: facts for facts in held if LABEL_KEY in facts.labels}

    def depth(facts: ImageFacts) -> int:
        parent = by_key.get(facts.labels.get(LABEL_PARENT, ""))
        return 0 if parent is None else depth(parent) + 1

    return sorted(by_key.values(), key=depth, reverse=True)


def _sent(layer: Layer, files: CommitFiles) -> Callable[[str], bool]:
    """Which paths of the export belong in the context: a `.dockerignore` counts for a user's own build."""
    if layer.export is None or layer.export.prefix:
        return lambda _: True
    ignore = files.read(f"{layer.export.path}/.dockerignore".removeprefix("./"))
    return context_filter((ignore or b"").decode("utf-8", "surrogateescape"))
