"""Which changed files act on people and machines by lying where they lie.

A reviewer opens the branch in an editor, continuous integration builds it, the next agent starts from
it: each of them runs or obeys some files without being asked. Such files are ordinary work and are let
in, but a person should know of them first. The list names what common tools load on their own, each
group with what its files do.
"""

from __future__ import annotations

import json
import re
import tomllib
import unicodedata
from collections.abc import Callable
from fnmatch import translate
from typing import Any

KINDS: dict[str, tuple[str, ...]] = {
    # Run with the repository's secrets, often on every push, before anybody has looked.
    "runs in continuous integration": (
        ".github/workflows/", ".github/actions/", "action.yml", "action.yaml", ".gitea/workflows/",
        ".forgejo/workflows/", ".gitlab-ci.yml", ".gitlab-ci.yaml", ".gitlab/ci/", ".circleci/",
        "jenkinsfile", "jenkinsfile.*", "azure-pipelines*.yml", "azure-pipelines*.yaml",
        ".azure-pipelines/", ".woodpecker/", ".woodpecker.yml", ".woodpecker.yaml", ".drone.yml",
        ".drone.star", ".travis.yml", "appveyor.yml", ".appveyor.yml", "bitbucket-pipelines.yml",
        ".buildkite/", ".cirrus.yml", ".cirrus.star", ".teamcity/", ".semaphore/", ".tekton/",
        ".builds/", ".build.yml", "buildspec.yml", "buildspec.yaml", "cloudbuild.yml", "cloudbuild.yaml",
        "netlify.toml", "vercel.json", "render.yaml", ".readthedocs.yml", ".readthedocs.yaml",
        ".github/dependabot.yml", ".github/dependabot.yaml", "renovate.json*", ".renovaterc*",
    ),
    # Decide who must look at a change, and whose name git shows for it.
    "changes who reviews or who is named": ("codeowners", ".mailmap"),
    # Choose drivers and filters for files, and which foreign repositories are fetched.
    "changes how git treats files": (".gitattributes", ".gitmodules", ".lfsconfig", ".gitconfig"),
    # Installed as git hooks by the project's own set-up, and then run on the next commit.
    "is run as a git hook": (
        ".husky/", ".huskyrc*", ".githooks/", ".git-hooks/", ".pre-commit-config.yaml",
        ".pre-commit-config.yml", ".pre-commit-hooks.yaml", "lefthook.*", ".lefthook.*", ".lefthook/",
        "lefthook-local.*", ".overcommit.yml", ".lintstagedrc*", "lint-staged.config.*",
        "commitlint.config.*", ".simple-git-hooks.*", "simple-git-hooks.*",
    ),
    # Tasks, launchers, settings and linters that start when the folder or a file in it is opened.
    "is loaded by editors": (
        ".vscode/", ".idea/", ".fleet/", ".zed/", ".nova/", ".helix/", ".vim/", "*.code-workspace",
        "*.sublime-project", ".exrc", ".nvimrc", ".nvim.lua", ".lvimrc", ".vimrc", ".dir-locals.el",
        ".dir-locals-2.el", ".eslintrc*", "eslint.config.*", ".prettierrc*", "prettier.config.*",
    ),
    # Commands for whoever opens the repository in a container.
    "prepares a development container": (
        ".devcontainer/", ".devcontainer.json", ".gitpod.yml", ".gitpod.dockerfile",
    ),
    # Read by shells, debuggers and version switchers as soon as somebody enters the directory.
    "is loaded on entering the directory": (
        ".envrc", ".env", ".env.*", ".autoenv*", ".tool-versions", ".mise.toml", "mise.toml", ".mise/",
        ".bashrc", ".bash_profile", ".zshrc", ".zshenv", ".profile", ".inputrc", ".gdbinit", ".lldbinit",
        ".pdbrc", ".rprofile", ".irbrc", ".psqlrc", ".curlrc", ".wgetrc", ".netrc", ".ssh/",
    ),
    # Words that the next agent, or the reviewer's own, takes as instructions; and programs it starts.
    "instructs coding agents": (
        "claude.md", "claude.local.md", "agents.md", "agents.override.md", "agent.md", "gemini.md",
        "qwen.md", "warp.md", "crush.md", "skill.md", ".claude/", ".claude.json",
        ".mcp.json", "mcp.json", ".cursor/", ".cursorrules", ".github/copilot-instructions.md",
        ".github/instructions/", ".github/prompts/", ".github/agents/", ".github/chatmodes/",
        ".windsurf/", ".windsurfrules", ".clinerules", ".cline/", ".roo/", ".roorules*", ".roomodes",
        ".codex/", ".gemini/", ".qwen/", ".aider*", ".continue/", ".kiro/", ".junie/", ".opencode/",
        "opencode.json", "opencode.jsonc", ".goosehints", ".amazonq/", ".augment/", ".augment-guidelines",
        ".rules", ".agents/", ".amp/", ".crush.json", "crush.json",
    ),
    # Imported by every Python that starts in, or tests, this tree.
    "is run by Python or its tests": (
        "pyvenv.cfg", "conftest.py", "sitecustomize.py", "usercustomize.py", "*.pth", "setup.py",
        "setup.cfg", "pytest.ini", "tox.ini", "noxfile.py", "fabfile.py",
    ),
    # Say where packages come from, and which programs package managers run.
    "steers a package manager": (
        ".npmrc", ".yarnrc*", ".yarn/", ".pnp.*", ".pnpmfile.*", "pnpmfile.*", "bunfig.toml",
        "binding.gyp", ".cargo/config", ".cargo/config.toml", "rust-toolchain", "rust-toolchain.toml",
        ".bundle/config", ".pypirc", "pip.conf", "pip.ini", "nuget.config",
    ),
    # Run by whoever builds; a typed `make` is enough.
    "is run by a build": (
        "makefile", "gnumakefile", "*.mk", "justfile", ".justfile", "taskfile.yml", "taskfile.yaml",
        "rakefile", "gemfile", "*.gemspec", "extconf.rb", "build.rs", "gradlew", "gradlew.bat",
        "gradle/wrapper/", "gradle.properties", "*.gradle", "*.gradle.kts", "mvnw", "mvnw.cmd", ".mvn/",
        ".bazelrc", "directory.build.props", "directory.build.targets", "vagrantfile", "flake.nix",
        "default.nix", "shell.nix", "build.sbt", "mix.exs", "package.swift",
        "dockerfile", "dockerfile.*", "*.dockerfile", "compose.y*ml", "docker-compose*.y*ml",
    ),
}  # fmt: skip
"""Names of files, and of directories with all that is in them (`/` at the end), by what they do.

In small letters, matched at any depth. `*` stands for anything within one name.
"""

SCRIPTS = "has scripts that run on their own"
_PARTLY = ("package.json", "composer.json", "pyproject.toml")
_STARTED_BY_NPM = (
    "preinstall", "install", "postinstall", "prepublish", "preprepare", "prepare", "postprepare",
    "dependencies", "prepack", "postpack", "prepublishonly",
)  # fmt: skip
"""The npm documentation's life-cycle scripts (`npm help scripts`) that run without being asked for."""
_STARTED_BY_COMPOSER = ("pre-", "post-")


def active(path: bytes) -> str | None:
    """What a file does by lying at that path, in words that follow its name, or None.

    Args:
        path: Relative, as git has it. Upper and lower case, and what file systems that fold names
            ignore, make no difference. A name at which a link could stand in for one of the
            directories counts as well.
    """
    names = [_folded(name) for name in path.split(b"/")]
    for end in range(2, len(names) + 1):
        kind, is_directory = _PAIRS.get((names[end - 2], names[end - 1]), ("", False))
        if kind and (is_directory or end == len(names)):
            return kind
    inside = next((_DIRECTORIES[name] for name in names if name in _DIRECTORIES), None)
    return inside or _of_leaf(names[-1])


def is_partly_active(path: bytes) -> bool:
    """Whether some of what a file at that path may say runs on its own; `acts` says which."""
    return _folded(path.rpartition(b"/")[2]) in _PARTLY


def acts(path: bytes, content: bytes) -> object:
    """The part of a partly active file that runs on its own: to be compared, not understood.

    What can't be read counts as a whole.
    """
    reader = _TOML if _folded(path).endswith(".toml") else _JSON
    try:
        return reader(content.decode())
    except (ValueError, RecursionError, TypeError, AttributeError):
        return content


def _started_by_npm(text: str) -> object:
    everything = json.loads(text or "{}")  # of a file that was not there
    scripts: dict[str, Any] = everything.get("scripts", {})
    hooks = {key: everything.get(key) for key in ("husky", "lint-staged", "simple-git-hooks", "gypfile")}
    started = {
        name: command
        for name, command in scripts.items()
        if name.lower() in _STARTED_BY_NPM or name.lower().startswith(_STARTED_BY_COMPOSER)
    }
    return started, hooks


def _started_by_python(text: str) -> object:
    everything = tomllib.loads(text)
    tool: dict[str, Any] = everything.get("tool", {})
    return everything.get("build-system"), tool.get("pytest"), tool.get("setuptools", {}).get("cmdclass")


_JSON: Callable[[str], object] = _started_by_npm
_TOML: Callable[[str], object] = _started_by_python


def _folded(name: bytes) -> str:
    """A name as the file systems of Windows and macOS compare it: more alike than on Linux."""
    text = name.decode(errors="surrogateescape")
    if not text.isascii():
        kept = "".join(sign for sign in text if unicodedata.category(sign) != "Cf")
        text = unicodedata.normalize("NFKC", kept)
    return text.casefold().partition(":")[0].rstrip(" .")


def _of_leaf(name: str) -> str | None:
    known = _FILES.get(name) or _STANDS_FOR.get(name)
    if known or not _ANY_GLOB.match(name):
        return known
    return next(kind for pattern, kind in _GLOBS if pattern.match(name))


_ALL = [(pattern, kind) for kind, patterns in KINDS.items() for pattern in patterns]
_SPLIT = [(tuple(pattern.rstrip("/").split("/")), pattern, kind) for pattern, kind in _ALL]
_GLOBS = [(re.compile(translate(pattern)), kind) for pattern, kind in _ALL if "*" in pattern]
_ANY_GLOB = re.compile("|".join(f"(?:{pattern.pattern})" for pattern, _ in _GLOBS))
_FILES = {pattern: kind for pattern, kind in _ALL if "*" not in pattern and "/" not in pattern}
_DIRECTORIES = {names[0]: kind for names, p, kind in _SPLIT if len(names) == 1 and p.endswith("/")}
_PAIRS = {(names[0], names[1]): (kind, p.endswith("/")) for names, p, kind in _SPLIT if len(names) == 2}
_STANDS_FOR = {names[0]: kind for names, _, kind in _SPLIT if len(names) == 2 and names[0][0] == "."}
