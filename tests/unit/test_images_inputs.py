"""Setup runs again when what it can see of its inputs changes, and not when anything else does."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.sandbox.inputs import Tree, seen, seen_key


@dataclass(frozen=True)
class Row:
    mode: str
    oid: str
    path: bytes


def rows(files: Mapping[str, str]) -> list[Row]:
    return [Row("100644", text, os.fsencode(name)) for name, text in files.items()]


def key(commands: list[str], files: Mapping[str, str]) -> str:
    return seen_key(commands, rows(files), lambda name: files[name].encode())


def names(command: str, files: Mapping[str, str]) -> set[str]:
    return seen([command], Tree.of(rows(files)), lambda name: files[name].encode())


PROJECT = {
    "pyproject.toml": '[project]\nreadme = "README.md"\ndynamic = {version = {file = "VERSION"}}\n',
    "README.md": "see docs/guide.md\n",
    "VERSION": "1\n",
    "docs/guide.md": "words\n",
    "docs/other.md": "words\n",
    "src/pkg/__init__.py": "x = 1\n",
    "src/pkg/data.txt": "1\n",
    "tests/test_pkg.py": "def test(): pass\n",
    "scripts/setup.sh": "#!/bin/sh\npip install -r requirements-dev.in\nexec ./scripts/more.sh\n",
    "scripts/more.sh": "cp tools/plugin/* .\n",
    "tools/plugin/a.py": "",
    "requirements-dev.in": "./libs/own\npytest\n",
    "libs/own/pyproject.toml": "",
    "libs/own/own.py": "y = 1\n",
    "web/package.json": '{"scripts": {"x": "node tools/x.js"}}\n',
    "web/package-lock.json": '{"src/pkg/data.txt": 1}\n',
    "web/tools/x.js": "",
    "web/src/index.js": "",
    "web/install.sh": "",
}
ALWAYS = {
    "pyproject.toml",
    "README.md",
    "VERSION",
    "docs/guide.md",
    "requirements-dev.in",
    "libs/own/pyproject.toml",
    "libs/own/own.py",
    "web/package.json",
    "web/package-lock.json",
    "web/tools/x.js",
}


@pytest.mark.parametrize(
    ("command", "more"),
    [
        ("pip install -e .", set()),
        ("pip install -e '.[test]'", set()),
        ("pip install --editable=.", set()),
        ("true", set()),
        ("sh scripts/setup.sh", {"scripts/setup.sh", "scripts/more.sh"}),
        ("cd web && npm ci", set()),
        ("cd web && sh install.sh", {"web/install.sh"}),
        ("npm ci --prefix web", set()),
        ("npm ci --prefix=web", set()),
        ("pip install ./tools", {"tools/plugin/a.py"}),
        ("pip install tools/plugin", {"tools/plugin/a.py"}),
        ("pip install /workspace/tools/plugin", {"tools/plugin/a.py"}),
        ("pip install .", set(PROJECT)),
        ("pip install '.[test]'", set(PROJECT)),
        ("pip install --find-links=tools/plugin pytest", {"tools/plugin/a.py"}),
        ("cat ../outside /etc/passwd", set()),
    ],
)
def test_what_a_command_can_see(command: str, more: set[str]) -> None:
    assert names(command, PROJECT) == ALWAYS | more


def changed(name: str) -> dict[str, str]:
    return {**PROJECT, name: PROJECT[name] + "# changed\n"}


def test_source_and_tests_do_not_count_for_an_editable_install_but_manifests_do() -> None:
    commands = ["pip install -e ."]
    same = key(commands, PROJECT)
    for name in ("src/pkg/__init__.py", "tests/test_pkg.py", "docs/other.md"):
        assert key(commands, changed(name)) == same
    for name in ("pyproject.toml", "VERSION", "web/package-lock.json", "libs/own/own.py"):
        assert key(commands, changed(name)) != same


def test_directories_commands_and_their_order_count() -> None:
    commands = ["one", "two"]
    same = key(commands, PROJECT)
    assert key(commands, {**PROJECT, "src/pkg/new.py": ""}) == same
    assert key(commands, {**PROJECT, "src/new/new.py": ""}) != same
    assert key(["two", "one"], PROJECT) != same
    assert key(["one two"], PROJECT) != same


def test_modes_count() -> None:
    plain = [Row("100644", "1", b"setup.py")]
    assert seen_key([], plain, lambda _: b"") != seen_key(
        [], [Row("100755", "1", b"setup.py")], lambda _: b""
    )


def test_links_are_seen_with_what_they_name() -> None:
    files = {"requirements.txt": "deps/all.txt", "deps/all.txt": "pytest", "deps/other.txt": ""}
    assert names("pip install -r requirements.txt", files) == {"requirements.txt", "deps/all.txt"}


def test_binary_huge_and_undecodable_files_are_not_searched_and_do_no_harm() -> None:
    files = {"setup.py": "\0 other.txt", "Makefile": "x" * 2_000_000 + " other.txt", "other.txt": ""}
    assert names("make", files) == {"setup.py", "Makefile"}
    odd = [Row("100644", "1", b"caf\xe9/setup.py")]
    assert seen_key(["true"], odd, os.fsencode)


def test_a_requirement_on_the_directory_itself_takes_all_of_it_unless_editable() -> None:
    files = {"lib/requirements.txt": ".[x]  # ours\n", "lib/a.py": "", "b.py": ""}
    assert names("pip install -r lib/requirements.txt", files) == {"lib/requirements.txt", "lib/a.py"}
    files["lib/requirements.txt"] = "-e .\ncp x ./ ../\n"
    assert names("pip install -r lib/requirements.txt", files) == {"lib/requirements.txt"}


def test_files_that_name_each_other_end() -> None:
    files = {"Makefile": "include a.mk", "a.mk": "include Makefile b.txt", "b.txt": "a.mk"}
    assert names("make", files) == set(files)


paths = st.lists(st.sampled_from("abc"), min_size=1, max_size=3).map("/".join)


@settings(max_examples=100)
@given(
    st.dictionaries(paths, st.text(" ./abc\n", max_size=12), max_size=6), st.text(" ./abc-e&", max_size=16)
)
def test_the_key_does_not_hang_on_the_order_of_the_tree(files: dict[str, str], command: str) -> None:
    backwards = dict(reversed(list(files.items())))
    assert key([command], files) == key([command], backwards)
    assert names(command, files) <= set(files)
