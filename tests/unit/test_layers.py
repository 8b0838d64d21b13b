"""Layers and chains as values: what is built for a source, under which name, and when that changes."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.errors import ImageError, UsageError
from runner.sandbox.chain import Chain, Choices, chain, steward_chain
from runner.sandbox.images import RECIPES
from runner.sandbox.layers import Export, File, Layer, Parent, Recipe, Step, digest, setup_layer, tools_layer
from runner.tasks.plan import ImageSpec, Source

IMAGE = "sha256:" + "1" * 64


@dataclass(frozen=True)
class Row:
    mode: str
    oid: str
    path: bytes


@dataclass(frozen=True)
class Files:
    """The files of a commit that never was."""

    content: Mapping[str, str] = field(default_factory=dict)

    def tree(self) -> list[Row]:
        return [Row("100644", text, name.encode()) for name, text in self.content.items()]

    def tree_id(self, path: str) -> str | None:
        below = [
            f"{n}\0{t}" for n, t in sorted(self.content.items()) if path == "." or n.startswith(f"{path}/")
        ]
        return digest(*below) if below else None

    def read(self, path: str) -> bytes | None:
        return self.content[path].encode() if path in self.content else None

    @contextmanager
    def export(self, path: str = ".") -> Iterator[IO[bytes]]:
        yield io.BytesIO(path.encode())


def recipe(name: str) -> Recipe:
    folder = RECIPES / name
    others = sorted(file for file in folder.iterdir() if file.name != "Dockerfile")
    return Recipe(
        (folder / "Dockerfile").read_text(), tuple(File(f.name, f.read_bytes(), 0o755) for f in others)
    )


CHOICES = Choices(recipe, 60000, "linux-x64")


def source(**more: Any) -> Source:
    return Source(repo="/r", git_dir="/r/.git", base="0" * 40, base_name="HEAD", **more)


def made(files: Mapping[str, str] | None = None, cli: str | None = None, **more: Any) -> Chain:
    return chain(
        source(**more), cli, Files(files or {}), CHOICES, lambda name: IMAGE if name == "there" else None
    )


def names(wanted: Chain) -> list[str]:
    return [layer.name for layer in wanted.layers]


def test_the_default_chain() -> None:
    wanted = made(cli="claude", setup=("true",))
    assert names(wanted) == ["base", "dev", "tools", "setup", "agent-claude"]
    for below, above in zip(wanted.layers, wanted.layers[1:], strict=False):
        assert above.args["BASE"] == below.tag
        assert above.parent == below.key
        assert above.labels["corral.parent"] == below.labels["corral.key"]
    assert all(re.fullmatch(r"corral-[a-z-]+:[0-9a-f]{16}", layer.tag) for layer in wanted.layers)


def test_two_agents_stand_on_the_same_images() -> None:
    claude, codex = made(cli="claude", setup=("true",)), made(cli="codex", setup=("true",))
    assert claude.layers[:-1] == codex.layers[:-1]
    assert (codex.layers[-1].name, codex.layers[-1].agent) == ("agent-codex", "codex")
    assert claude.layers[-1].key != codex.layers[-1].key


def test_nothing_is_added_that_nobody_asked_for() -> None:
    assert names(made()) == ["base", "dev", "tools"]
    assert names(steward_chain(CHOICES)) == ["base", "steward"]


def test_an_image_by_name_stands_under_its_content_id() -> None:
    spec = ImageSpec(kind="name", name="there")
    wanted = made(image=spec)
    assert (wanted.named, wanted.known, names(wanted)) == ("there", True, ["tools"])
    assert wanted.layers[0].args["BASE"] == IMAGE
    missing = made(image=ImageSpec(kind="name", name="absent"))
    assert (missing.named, missing.known, missing.layers) == ("absent", False, ())


def test_a_build_from_a_directory() -> None:
    files = {"ci/image/Dockerfile": "FROM x\n", "ci/image/a": "1", "src/b": "1"}
    wanted = made(files, image=ImageSpec(kind="build", path="./ci/image/"))
    dev = wanted.layers[0]
    assert (dev.dockerfile, dev.export) == ("FROM x\n", Export("ci/image"))
    elsewhere = made(files | {"src/b": "2"}, image=ImageSpec(kind="build", path="ci/image"))
    assert elsewhere == wanted
    inside = made(files | {"ci/image/a": "2"}, image=ImageSpec(kind="build", path="ci/image"))
    assert all(a.key != b.key for a, b in zip(wanted.layers, inside.layers, strict=True))


@pytest.mark.parametrize("path", ["absent", "../x", "/etc", "ci"])
def test_a_build_that_is_not_there_is_a_usage_error(path: str) -> None:
    with pytest.raises(UsageError):
        made({"ci/image/Dockerfile": "FROM x\n"}, image=ImageSpec(kind="build", path=path))


def test_a_dev_container_brings_environment_user_and_commands() -> None:
    text = '{"image": "there", "containerEnv": {"A": "b"}, "remoteUser": "dev", "postCreateCommand": "one"}'
    wanted = made({".devcontainer.json": text}, image=ImageSpec(kind="devcontainer"), setup=("two",))
    tools, setup = wanted.layers
    assert 'ENV A="b"' in tools.dockerfile
    steps = {file.path: file.content for file in setup.files if file.path.startswith("steps/")}
    assert steps == {"steps/01.sh": b"one\n", "steps/01.user": b"dev\n", "steps/02.sh": b"two\n"}
    assert setup.export == Export(".", "workspace/")


def test_a_dev_container_with_a_build() -> None:
    text = '{"build": {"dockerfile": "D", "context": "..", "args": {"V": "1"}, "target": "dev"}}'
    files = {".devcontainer/devcontainer.json": text, ".devcontainer/D": "FROM x AS dev\n"}
    dev = made(files, image=ImageSpec(kind="devcontainer")).layers[0]
    assert (dev.export, dict(dev.args), dev.target) == (Export("."), {"V": "1"}, "dev")


def test_setup_is_made_again_for_its_inputs_only() -> None:
    files = {"pyproject.toml": "1", "src/a.py": "1"}
    first = made(files, setup=("pip install -e .",)).layers[-1].key
    assert made(files | {"src/a.py": "2"}, setup=("pip install -e .",)).layers[-1].key == first
    assert made(files | {"pyproject.toml": "2"}, setup=("pip install -e .",)).layers[-1].key != first
    assert made(files, setup=("pip install -e . ",)).layers[-1].key != first


def test_an_agent_that_is_not_pinned_here_is_said() -> None:
    for cli, platform in (("claude", "linux-riscv64"), ("nobody", "linux-x64")):
        with pytest.raises(ImageError, match=f"{cli}.*{platform}"):
            chain(source(), cli, Files(), Choices(recipe, 1, platform), lambda _: None)


def test_everything_that_goes_in_is_in_the_key() -> None:
    parent = Parent("x", "x")
    one = Recipe("FROM x\n", (File("a", b"1"),))
    keys = {
        tools_layer(one, parent, 1, {}).key,
        tools_layer(one, parent, 2, {}).key,
        tools_layer(one, Parent("x", "y"), 1, {}).key,
        tools_layer(one, parent, 1, {"A": ""}).key,
        tools_layer(Recipe("FROM y\n", one.files), parent, 1, {}).key,
        tools_layer(Recipe("FROM x\n", (File("a", b"2"),)), parent, 1, {}).key,
        tools_layer(Recipe("FROM x\n", (File("b", b"1"),)), parent, 1, {}).key,
        tools_layer(Recipe("FROM x\n", (File("a", b"1", 0o755),)), parent, 1, {}).key,
        setup_layer(one, parent, 1, (Step("a"),), "s").key,
        setup_layer(one, parent, 1, (Step("a", "u"),), "s").key,
        setup_layer(one, parent, 1, (Step("a"),), "t").key,
        setup_layer(one, parent, 1, (Step("a"), Step("a")), "s").key,
    }
    assert len(keys) == 12


def test_a_variable_stays_one_value_whatever_it_holds() -> None:
    layer = tools_layer(Recipe("FROM x"), Parent("x", "x"), 1, {"A": 'q " \\ $HOME'})
    assert layer.dockerfile == 'FROM x\nENV A="q \\" \\\\ \\$HOME"\n'


def test_a_long_setup_is_described_in_short() -> None:
    layer = setup_layer(Recipe("FROM x"), Parent("x", "x"), 1, (Step("echo\n" * 100),), "")
    assert len(layer.description) <= 210
    assert "\n" not in layer.description


parts = st.lists(st.text() | st.binary(), max_size=4)


@given(parts, parts)
def test_where_parts_end_matters(a: list[str | bytes], b: list[str | bytes]) -> None:
    plain = [x.encode() if isinstance(x, str) else x for x in a]
    assert (digest(*a) == digest(*b)) == (plain == [x.encode() if isinstance(x, str) else x for x in b])


def test_layers_are_values() -> None:
    assert Layer("dev", "k", "d") == Layer("dev", "k", "d")
