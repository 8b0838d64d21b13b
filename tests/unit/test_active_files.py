"""Which files act on people and machines by lying where they lie: recognised however they are written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.gather.active import KINDS, active, acts, is_partly_active

CI, GIT, HOOK = "runs in continuous integration", "changes how git treats files", "is run as a git hook"
EDITOR, AGENT, PYTHON = "is loaded by editors", "instructs coding agents", "is run by Python or its tests"
PACKAGES, BUILD, SHELL = (
    "steers a package manager",
    "is run by a build",
    "is loaded on entering the directory",
)


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        (b".github/workflows/ci.yml", CI),
        (b".gitlab-ci.yml", CI),
        (b".circleci/config.yml", CI),
        (b"Jenkinsfile", CI),
        (b"azure-pipelines.yml", CI),
        (b".woodpecker/build.yml", CI),
        (b".gitattributes", GIT),
        (b"deep/down/.gitattributes", GIT),
        (b".gitmodules", GIT),
        (b".husky/pre-commit", HOOK),
        (b".pre-commit-config.yaml", HOOK),
        (b".githooks/post-merge", HOOK),
        (b"lefthook.yml", HOOK),
        (b".vscode/tasks.json", EDITOR),
        (b".idea/workspace.xml", EDITOR),
        (b".devcontainer/devcontainer.json", "prepares a development container"),
        (b".envrc", SHELL),
        (b".env.local", SHELL),
        (b"CLAUDE.md", AGENT),
        (b"sub/AGENTS.md", AGENT),
        (b"GEMINI.md", AGENT),
        (b".cursor/rules/a.mdc", AGENT),
        (b".cursorrules", AGENT),
        (b".claude/settings.json", AGENT),
        (b".mcp.json", AGENT),
        (b".github/copilot-instructions.md", AGENT),
        (b"venv/pyvenv.cfg", PYTHON),
        (b"tests/conftest.py", PYTHON),
        (b"sitecustomize.py", PYTHON),
        (b"x/y.pth", PYTHON),
        (b"setup.py", PYTHON),
        (b"Makefile", BUILD),
        (b"build.rs", BUILD),
        (b"gradlew", BUILD),
        (b"gradle/wrapper/gradle-wrapper.jar", BUILD),
        (b".mvn/wrapper/maven-wrapper.properties", BUILD),
        (b".npmrc", PACKAGES),
        (b".yarnrc.yml", PACKAGES),
        (b".cargo/config.toml", PACKAGES),
        (b"CODEOWNERS", "changes who reviews or who is named"),
    ],
)
def test_active(path: bytes, kind: str) -> None:
    assert active(path) == kind


@pytest.mark.parametrize(
    "path",
    [
        b"a.txt",
        b"src/main.py",
        b"my-conftest.py",
        b"CLAUDE.md/notes.txt",
        b"environment",
        b".github/ISSUE_TEMPLATE.md",
        b"docs/workflows/ci.yml",
        b"cargo/config",
        b"path.pth/readme",
        b"package.json",
        b"vscode/tasks.json",
    ],
)
def test_inactive(path: bytes) -> None:
    assert active(path) is None


@pytest.mark.parametrize(
    "path",
    [
        b".GitHub/WORKFLOWS/x.yml",
        b".github/workflow\xc5\xbf/x.yml",  # a long s, which is an s to macOS
        b".g\xe2\x80\x8cithub/workflows/x.yml",  # a zero-width sign, which is nothing to macOS
        b".github./workflows /x.yml",  # an end that Windows takes off
        b".github/workflows",  # a link may lie here
        b".github",  # or here
    ],
)
def test_names_that_other_file_systems_take_for_active_ones(path: bytes) -> None:
    assert active(path) is not None


def test_every_pattern_is_matched_by_itself() -> None:
    for kind, patterns in KINDS.items():
        for pattern in patterns:
            path = pattern.replace("*", "a").encode() + (b"inside" if pattern.endswith("/") else b"")
            assert active(path) is not None, (kind, pattern)
            assert active(b"some/where/" + path) is not None, (kind, pattern)


@given(st.binary(min_size=1, max_size=60))
def test_any_path_has_an_answer(path: bytes) -> None:
    assert active(path) is None or active(path) in KINDS


@pytest.mark.parametrize(
    ("name", "before", "after", "same"),
    [
        (b"package.json", b'{"version": "1"}', b'{"version": "2"}', True),
        (b"package.json", b'{"scripts": {"lint": "a"}}', b'{"scripts": {"lint": "b"}}', True),
        (b"package.json", b"{}", b'{"scripts": {"postinstall": "x"}}', False),
        (b"package.json", b"{}", b'{"scripts": {"PREPARE": "x"}}', False),
        (b"package.json", b"{}", b'{"husky": {"hooks": {"pre-commit": "x"}}}', False),
        (b"package.json", b"{}", b"{", False),
        (b"package.json", b"{}", b"[" * 100_000, False),
        (b"package.json", b"{}", b'{"scripts": ["postinstall"]}', False),
        (b"package.json", b"{}", b'{"version": ' + b"9" * 10_000 + b"}", False),
        (b"composer.json", b"{}", b'{"scripts": {"post-install-cmd": "x"}}', False),
        (b"pyproject.toml", b"[project]\nversion='1'", b"[project]\nversion='2'", True),
        (b"pyproject.toml", b"", b"[build-system]\nbackend-path=['.']", False),
        (b"pyproject.toml", b"", b"[tool.pytest.ini_options]\naddopts='-p x'", False),
        (b"pyproject.toml", b"", b"tool = 1", False),
        (b"pyproject.toml", b"", b"\xff", False),
    ],
)
def test_parts_that_run_on_their_own(name: bytes, before: bytes, after: bytes, same: bool) -> None:
    assert is_partly_active(b"sub/" + name)
    assert (acts(name, before) == acts(name, after)) is same
