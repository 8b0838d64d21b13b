"""What a repository's setup can see of its inputs, as a key: when it changes, setup runs again.

In the key are the commands' own inputs, not the whole tree, or every commit would need its own image:

* every lockfile, manifest and build file, anywhere in the tree (`MANIFESTS`);
* every file that a command names, and every file that one of these files names, and so on;
* the whole content of a directory that a command names, or that a file names beginning with `./` or
  `../`; but not of one that a command only goes to (`cd DIR`, `-C DIR`, `--prefix DIR`) or installs
  editable (`-e DIR`), since there the workspace's own files are used;
* the list of all directories, since package discovery looks at it.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Protocol

from runner.sandbox.layers import digest


class Entry(Protocol):
    """One file of a commit: git's mode (six octal digits), object id and path."""

    @property
    def mode(self) -> str: ...
    @property
    def oid(self) -> str: ...
    @property
    def path(self) -> bytes: ...


Read = Callable[[str], bytes | None]

LOCKFILES = (
    "*.lock",
    "package-lock.json",
    "npm-shrinkwrap.json",
    "pnpm-lock.yaml",
    "bun.lockb",
    "go.sum",
    "conda-lock.yml",
    "gradle.lockfile",
    "pylock*.toml",
    "flake.lock",
)
"""Only their content counts: what they name is what the manifests beside them name."""

MANIFESTS = (
    "pyproject.toml",
    "setup.py",
    "setup.cfg",
    "MANIFEST.in",
    "requirements*.txt",
    "requirements*.in",
    "constraints*.txt",
    "environment*.yml",
    "environment*.yaml",
    "Pipfile",
    "tox.ini",
    "noxfile.py",
    "uv.toml",
    ".python-version",
    "package.json",
    ".npmrc",
    ".yarnrc",
    ".yarnrc.yml",
    ".nvmrc",
    ".node-version",
    "pnpm-workspace.yaml",
    "bunfig.toml",
    "lerna.json",
    "Cargo.toml",
    "build.rs",
    "rust-toolchain",
    "rust-toolchain.toml",
    "go.mod",
    "go.work",
    "Gemfile",
    "*.gemspec",
    ".ruby-version",
    "composer.json",
    "pom.xml",
    "build.gradle",
    "build.gradle.kts",
    "settings.gradle",
    "settings.gradle.kts",
    "gradle.properties",
    "gradle-wrapper.properties",
    "mix.exs",
    "rebar.config",
    "Package.swift",
    "*.csproj",
    "*.fsproj",
    "*.sln",
    "nuget.config",
    "global.json",
    "Directory.*.props",
    "pubspec.yaml",
    "deno.json",
    "deno.jsonc",
    "Makefile",
    "makefile",
    "GNUmakefile",
    "*.mk",
    "CMakeLists.txt",
    "meson.build",
    "configure",
    "configure.ac",
    "Justfile",
    "justfile",
    "Taskfile.yml",
    ".tool-versions",
    "mise.toml",
    ".gitignore",
)
"""Names of files that say what is installed or how it is built, in whatever directory they stand."""

LONGEST_READ = 1024 * 1024
"""A larger file counts by its content, but is not searched for names."""

REQUIREMENTS = ("requirements*.txt", "requirements*.in")
"""Where a line that is `.` alone installs a copy of the directory that the file stands in."""

_SELF = re.compile(rb"^\s*\./?(\[[^\]]*\])?\s*(#.*)?$", re.MULTILINE)
_TOKEN = re.compile(r"[^\s\"'`,;:=()\[\]{}<>|&#!?*$@]+")
_GOES_TO = frozenset({"cd", "pushd", "-C", "--prefix", "--cwd", "--directory", "--dir", "-e", "--editable"})


def seen_key(commands: Sequence[str], entries: Iterable[Entry], read: Read) -> str:
    """The key of all that setup can see of its inputs.

    Args:
        commands: The setup commands, in order.
        entries: Every file of the base commit.
        read: The content of a file of the commit.
    """
    tree = Tree.of(entries)
    names = seen(commands, tree, read)
    parts = [part for name in sorted(names) for part in (name, *tree.files[name])]
    return digest("seen", *commands, "files", *parts, "directories", *sorted(tree.folders))


def seen(commands: Sequence[str], tree: Tree, read: Read) -> set[str]:
    """The paths whose content is in the key."""
    names = {name for name in tree.files if _listed(name, (*MANIFESTS, *LOCKFILES))}
    for command in commands:
        names |= set(_of_command(command, tree))
    pending = sorted(names)
    while pending:
        name = pending.pop()
        for found in _of_file(name, tree, read):
            if found not in names:
                names.add(found)
                pending.append(found)
    return names


@dataclass(frozen=True)
class Tree:
    """A commit's files by path (text, undecodable bytes escaped) and all its directories."""

    files: dict[str, tuple[str, str]]
    folders: frozenset[str]

    @classmethod
    def of(cls, entries: Iterable[Entry]) -> Tree:
        files = {os.fsdecode(entry.path): (entry.mode, entry.oid) for entry in entries}
        folders = {"."}
        for name in files:
            while (name := posixpath.dirname(name)) and name not in folders:
                folders.add(name)
        return cls(files, frozenset(folders))

    def below(self, folder: str) -> Iterator[str]:
        """Every file in a directory and those below it."""
        return (name for name in self.files if folder == "." or name.startswith(f"{folder}/"))

    def resolve(self, start: str, token: str) -> str | None:
        """The path inside the tree that a token means when it is used in the directory `start`."""
        if token.startswith("/workspace"):
            token, start = token.removeprefix("/workspace").lstrip("/") or ".", "."
        path = posixpath.normpath(posixpath.join(start, token))
        return path if path in self.files or path in self.folders else None


def _of_command(command: str, tree: Tree) -> Iterator[str]:
    """The files that a command names, in the root or in a directory that it goes to."""
    words = re.split(r"\s+|(?<=--prefix)=|(?<=--editable)=|(?<=--cwd)=|(?<=--directory)=", command)
    plain = [_bare(word) for word in words]
    after = ["", *plain]
    starts = {"."}
    for word, before in zip(plain, after, strict=False):
        if before in _GOES_TO and (folder := tree.resolve(".", word)) in tree.folders and folder:
            starts.add(folder)
    for word, before in zip(words, after, strict=False):
        if before not in _GOES_TO:
            for token in _TOKEN.findall(word):
                for start in starts:
                    yield from _named(tree, start, token, whole=True)


def _bare(word: str) -> str:
    """A word without quotes, separators and the extras of a Python requirement: `'.[test]'` is `.`."""
    return re.sub(r"\[[^\]]*\]$", "", word.strip("\"'`;&|()"))


def _of_file(name: str, tree: Tree, read: Read) -> Iterator[str]:
    """The files that a file names, seen from its own directory or from the root."""
    if _listed(name, LOCKFILES):
        return
    content = read(name)
    if content is None or len(content) > LONGEST_READ or b"\0" in content[:8192]:
        return
    folder = posixpath.dirname(name) or "."
    starts = {folder, "."}  # seen from here, "./" and "../" name what the file stands in, which says nothing
    if _listed(name, REQUIREMENTS) and _SELF.search(content):
        yield from tree.below(folder)
    for token in set(_TOKEN.findall(os.fsdecode(content))):
        for start in starts:
            yield from _named(tree, start, token, whole=token.startswith(("./", "../")), in_file=True)


def _named(tree: Tree, start: str, token: str, *, whole: bool, in_file: bool = False) -> Iterator[str]:
    path = tree.resolve(start, token)
    if path in tree.files:
        yield path
    elif path is not None and whole and not (in_file and _holds(path, start)):
        yield from tree.below(path)


def _holds(folder: str, other: str) -> bool:
    """Whether a directory is `other` or has it below itself."""
    return folder == "." or f"{other}/".startswith(f"{folder}/")


def _listed(name: str, patterns: Sequence[str]) -> bool:
    last = posixpath.basename(name)
    return any(fnmatchcase(last, pattern) for pattern in patterns)
