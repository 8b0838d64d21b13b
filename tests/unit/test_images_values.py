"""The pure parts around images: mirrors, pinned programs, what is refused, what is removed first."""

from __future__ import annotations

import hashlib
import os
import stat
import sys
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from runner.errors import HostError, ImageError, UsageError
from runner.sandbox import binaries
from runner.sandbox.binaries import PINS, Pin, Program, fetch, pin
from runner.sandbox.chain import Choices, steward_chain
from runner.sandbox.engine import Engine
from runner.sandbox.facts import ImageFacts
from runner.sandbox.images import RECIPES, Images, check_fit, explained, host_platform, removal_order
from runner.sandbox.layers import LABEL_KEY, LABEL_LAYER, LABEL_PARENT, File, Layer, Recipe
from runner.sandbox.mirrors import Mirrors, mirrors
from runner.sandbox.progress import Progress

DEB822 = """\
# a remark
Types: deb
URIs: http://mirror.example/debian/
Suites: trixie trixie-updates
Components: main

Types: deb
URIs: http://mirror.example/debian-security
Suites: trixie-security
Components: main
Signed-By: /x.gpg
"""


@pytest.mark.parametrize(
    ("one_line", "deb822", "expected"),
    [
        ([], [], Mirrors()),
        ([], [DEB822], Mirrors("http://mirror.example/debian", "http://mirror.example/debian-security")),
        (["deb [arch=amd64 signed-by=/k] https://m/debian bookworm main\n"], [], Mirrors("https://m/debian")),
        (["# deb http://m/debian x main\ndeb-src http://m/debian x main\n"], [], Mirrors()),
        (["deb http://m/debian bookworm/updates main\n"], [], Mirrors(None, "http://m/debian")),
        (["deb https://packages.example/apt other main\ndeb cdrom:[x]/ y main\n"], [], Mirrors()),
        ([], [DEB822.replace("Types: deb\n", "Types: deb\nEnabled: no\n")], Mirrors()),
    ],
)
def test_mirrors(one_line: list[str], deb822: list[str], expected: Mirrors) -> None:
    assert mirrors(one_line, deb822) == expected


def test_sources_name_all_three_suites() -> None:
    text = Mirrors("http://m/debian", "http://m/debian-security").sources("x", "")
    assert [line.split()[2] for line in text.splitlines()] == ["x", "x-updates", "x-security"]


def test_the_archive_that_bootstrapping_chose_is_used_where_the_host_names_none() -> None:
    text = Mirrors().sources("x", "deb http://chosen.example/debian x main\n")
    assert (
        text == "deb http://chosen.example/debian x main\ndeb http://chosen.example/debian x-updates main\n"
    )


# -- programs


PROGRAM = b"#!/bin/sh\necho fake\n" * 100_000
SHA256 = hashlib.sha256(PROGRAM).hexdigest()
SMALL = Pin("tool", "1.0", (Program("tool", SHA256, "package/tool", "p/t"),), "pkg@1.0", ("pkg==1", "any"))
SEVERAL = Pin(
    "parts",
    "2.0",
    (Program("bin/one", SHA256, "package/v/bin/one"), Program("path/two", SHA256, "package/v/path/two")),
    "pkg@2.0",
)


@pytest.fixture
def clients(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory for fake download clients, which is all of PATH; pip is a fake too."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr(sys, "executable", str(folder / "python"))
    return folder


def client(folder: Path, name: str, made: Path | None, flag: str) -> None:
    """A client that copies `made` to where its option `flag` says and notes its call, or fails."""
    action = (
        f'[ "$before" = {flag} ] && /bin/cp {made} "$word/"'
        if made
        else "{ echo 'no such host' >&2; exit 9; }"
    )
    script = f'#!/bin/sh\necho "$0 $*" >> {folder}/calls\nfor word; do\n{action}\nbefore=$word\ndone\ntrue\n'
    (folder / name).write_text(script)
    (folder / name).chmod(0o755)


def npm_package(folder: Path, *members: str, content: bytes = PROGRAM) -> Path:
    source = folder / "source"
    source.write_bytes(content)
    with tarfile.open(folder / "pkg.tgz", "w:gz") as made:
        for member in members or ("package/tool",):
            made.add(source, member)
    return folder / "pkg.tgz"


def wheel(folder: Path) -> Path:
    with zipfile.ZipFile(folder / "pkg.whl", "w") as made:
        made.writestr("p/t", PROGRAM)
    return folder / "pkg.whl"


def calls(folder: Path) -> list[str]:
    return (folder / "calls").read_text().splitlines()


def test_a_program_comes_from_npm_once(clients: Path, tmp_path: Path) -> None:
    client(clients, "npm", npm_package(tmp_path), "--pack-destination")
    for _ in range(2):
        program = fetch(SMALL, tmp_path / "cache") / "tool"
    assert program.read_bytes() == PROGRAM
    assert stat.S_IMODE(program.stat().st_mode) == 0o755
    assert len(calls(clients)) == 1
    assert sorted(p.name for p in (tmp_path / "cache").iterdir()) == ["tool-1.0", "tool-1.0.lock"]


@pytest.mark.parametrize("npm", ["absent", "failing", "another package"])
def test_where_npm_does_not_give_it_pip_does(clients: Path, tmp_path: Path, npm: str) -> None:
    if npm != "absent":
        package = npm_package(tmp_path, "package/other") if npm == "another package" else None
        client(clients, "npm", package, "--pack-destination")
    client(clients, "python", wheel(tmp_path), "--dest")
    said: list[str] = []
    assert (fetch(SMALL, tmp_path / "cache", said.append) / "tool").read_bytes() == PROGRAM
    assert any("with npm: " in line or line.startswith("with npm") for line in said)


def test_where_neither_gives_it_both_reasons_are_said(clients: Path, tmp_path: Path) -> None:
    client(clients, "python", None, "--dest")
    with pytest.raises(ImageError, match=r"tool 1\.0 could not be downloaded") as caught:
        fetch(SMALL, tmp_path / "cache")
    assert caught.value.log == ("with npm: npm is not installed", "with pip: exit code 9: no such host")
    assert caught.value.cure


def test_another_program_under_the_same_name_is_never_kept(clients: Path, tmp_path: Path) -> None:
    client(clients, "npm", npm_package(tmp_path, content=PROGRAM + b"\n"), "--pack-destination")
    with pytest.raises(ImageError, match="checksum"):
        fetch(SMALL, tmp_path / "cache")
    assert list((tmp_path / "cache" / "tool-1.0").iterdir()) == []


def test_a_cli_of_several_programs_comes_whole_and_each_in_its_place(clients: Path, tmp_path: Path) -> None:
    members = ("package/v/bin/one", "package/v/other", "package/v/path/two")
    client(clients, "npm", npm_package(tmp_path, *members), "--pack-destination")
    place = fetch(SEVERAL, tmp_path / "cache")
    assert sorted(str(file.relative_to(place)) for file in place.rglob("*") if file.is_file()) == [
        "bin/one",
        "path/two",
    ]
    (place / "path" / "two").write_bytes(b"another")
    assert fetch(SEVERAL, tmp_path / "cache") == place
    assert (place / "path" / "two").read_bytes() == PROGRAM
    assert len(calls(clients)) == 2


@pytest.mark.parametrize(
    ("members", "content", "said"),
    [
        (("package/v/bin/one",), PROGRAM, "could not be downloaded"),
        (("package/v/bin/one", "package/v/path/two"), PROGRAM + b"x", "checksum"),
    ],
)
def test_of_a_cli_that_is_not_whole_nothing_is_kept(
    clients: Path, tmp_path: Path, members: tuple[str, ...], content: bytes, said: str
) -> None:
    client(clients, "npm", npm_package(tmp_path, *members, content=content), "--pack-destination")
    with pytest.raises(ImageError, match=said) as caught:
        fetch(SEVERAL, tmp_path / "cache")
    assert "pip" not in str(caught.value)  # there is no wheel of it
    assert [file for file in (tmp_path / "cache").rglob("*") if file.is_file()] == [
        tmp_path / "cache" / "parts-2.0.lock"
    ]


def test_pins_name_whole_checksums_and_one_version() -> None:
    for (cli, platform), entry in PINS.items():
        assert entry.cli == cli
        assert all(len(bytes.fromhex(program.sha256)) == 32 for program in entry.programs)
        assert entry.version in entry.npm
        assert platform in entry.npm
    assert len({entry.checksum for entry in PINS.values()}) == len(PINS)


def test_what_is_not_pinned_is_said_with_what_is() -> None:
    with pytest.raises(ImageError, match="linux-riscv64") as caught:
        pin("claude", "linux-riscv64")
    assert "claude on linux-x64" in str(caught.value)


def test_the_word_for_each_way_exists() -> None:
    assert set(binaries._WORDS.values()) == {" with npm", " with pip"}


# -- images


def facts(
    key: str = "k", parent: str = "", volumes: tuple[str, ...] = (), env: tuple[str, ...] = ()
) -> ImageFacts:
    labels = {LABEL_LAYER: "x", LABEL_KEY: key, LABEL_PARENT: parent}
    return ImageFacts(f"sha256:{key}", (f"corral-x:{key[:16]}",), labels, 1.0, 1, env, "", volumes)


def test_an_image_with_volumes_or_a_redirected_git_is_refused() -> None:
    check_fit(facts(env=("PATH=/x", "GIT_VERSION=2", "LANG=C")), "x")
    with pytest.raises(UsageError, match="VOLUME /data"):
        check_fit(facts(volumes=("/data",)), "x")
    for name in ("GIT_DIR", "GIT_CONFIG_COUNT", "GIT_CONFIG_KEY_0", "GIT_SSH_COMMAND"):
        with pytest.raises(UsageError, match=name):
            check_fit(facts(env=(f"{name}=1",)), "x")


class FakeEngine:
    """An engine that holds images; what is in `used` can't be removed."""

    def __init__(self, held: list[ImageFacts], used: set[str]) -> None:
        self.held = held
        self.used = used

    def images(self, label: str) -> list[ImageFacts]:
        assert label == LABEL_LAYER
        return list(self.held)

    def remove_image(self, reference: str) -> bool:
        if reference in self.used:
            return False
        self.held = [image for image in self.held if image.tags != (reference,)]
        return True


def test_pruning_leaves_what_is_current_wanted_used_and_what_these_stand_on(tmp_path: Path) -> None:
    current = [layer.key for layer in steward_chain(Choices(recipe, 1, host_platform())).layers]
    held = [
        *(facts(key) for key in current),
        *(
            facts("dev-a"),
            facts("tools-a", "dev-a"),
            facts("setup-a", "tools-a"),
            facts("agent-a", "setup-a"),
        ),
        *(facts("dev-b"), facts("tools-b", "dev-b"), facts("agent-b", "tools-b")),
        *(facts("dev-c", current[0]), facts("tools-c", "dev-c")),
    ]
    engine = FakeEngine(held, used={"corral-x:setup-a"})
    images = Images(cast(Engine, engine), tmp_path, 1, lambda _: pytest.fail("no source is asked for"))
    removed = images.prune(keep=["sha256:tools-b"])
    assert removed == ["corral-x:agent-a", "corral-x:agent-b", "corral-x:tools-c", "corral-x:dev-c"]
    left = {image.labels[LABEL_KEY] for image in engine.held}
    assert left == {*current, "dev-a", "tools-a", "setup-a", "dev-b", "tools-b"}
    assert images.prune(keep=["sha256:tools-b"]) == []


def test_an_image_that_somebody_built_upon_ours_is_not_ours(tmp_path: Path) -> None:
    theirs = replace(facts("dev-x"), tags=("their/app:latest",))
    engine = FakeEngine([theirs], used=set())
    images = Images(cast(Engine, engine), tmp_path, 1, lambda _: pytest.fail("no source is asked for"))
    assert (images.held(), images.prune(), engine.held) == ([], [], [theirs])


def recipe(name: str) -> Recipe:
    folder = RECIPES / name
    others = sorted(file for file in folder.iterdir() if file.name != "Dockerfile")
    return Recipe(
        (folder / "Dockerfile").read_text(), tuple(File(f.name, f.read_bytes(), 0o755) for f in others)
    )


def test_an_installation_without_its_images_is_said(tmp_path: Path) -> None:
    images = Images(
        cast(Engine, FakeEngine([], set())), tmp_path, 1, lambda _: pytest.fail("no"), None, tmp_path
    )
    with pytest.raises(HostError, match=r"no .*steward/Dockerfile"):
        images.steward()


def test_progress_keeps_the_last_lines_without_colours_the_error_and_the_last_step() -> None:
    progress = Progress()
    assert progress.take({"stream": "Step 1/2 : FROM x\n"}) == ["Step 1/2 : FROM x"]
    progress.take({"stream": " ---> 0123456789ab\n"})
    progress.take({"stream": " ---> Running in ba9876543210\n"})
    assert progress.take({"stream": "\x1b[91mcorral: no\n\x1b[0m"}) == ["corral: no"]
    progress.take({"errorDetail": {}, "error": "non-zero code: 1"})
    for number in range(50):
        progress.take({"status": f"line {number}"})
    assert (progress.step, progress.error) == ("0123456789ab", "non-zero code: 1")
    assert progress.last == tuple(f"line {number}" for number in range(10, 50))


def test_images_go_before_what_they_stand_on() -> None:
    held = [
        facts("base"),
        facts("dev", "base"),
        facts("tools", "dev"),
        facts("alone", "gone"),
        facts("st", "base"),
    ]
    order = [f.labels[LABEL_KEY] for f in removal_order(held)]
    assert order.index("tools") < order.index("dev") < order.index("base")
    assert order.index("st") < order.index("base")
    assert set(order) == {"base", "dev", "tools", "alone", "st"}


def test_a_failed_setup_is_told_by_its_step() -> None:
    log = ("Collecting x", "corral: setup: step 02 ended with exit code 7: make deps", "")
    told = explained(Layer("setup", "k" * 64, ""), ImageError("building failed: non-zero code", log=log))
    assert told.message == "setup: step 02 ended with exit code 7: make deps"
    assert told.log == log
    assert told.cure


@pytest.mark.parametrize("layer", ["tools", "dev", "agent-claude", "steward"])
def test_other_failures_keep_the_builder_s_words(layer: str) -> None:
    told = explained(Layer(layer, "k" * 64, ""), ImageError("building x failed: y", log=("a",)))  # type: ignore[arg-type]  # one of the names
    assert told.message == "building x failed: y"
    assert (
        explained(Layer("tools", "k" * 64, ""), ImageError("b", log=("corral: no git",))).message == "no git"
    )


def test_the_scripts_that_images_copy_are_executable() -> None:
    for script in ("tools/enter", "tools/prepare", "setup/run", "steward/gather.sh", "steward/steward.sh"):
        assert os.access(RECIPES / script, os.X_OK), script
