"""Which files steer checks: a test runner or a build loads them without being asked, and does as they say.

Work that changes one of them changes what its own check does. The names are those that common runners look
for; each group says who does.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import chain

from runner.gather.said import Said, said
from runner.gather.tree import Tree

KINDS: dict[str, tuple[str, ...]] = {
    # pytest: configuration files and plugins ("Configuration", "Writing plugins" in its documentation).
    "pytest": (
        "conftest.py", "pytest.ini", ".pytest.ini", "pytest.toml", ".pytest.toml", "tox.ini", "setup.cfg",
        "pyproject.toml",
    ),
    # Python: `site` imports these; `-m` puts the working directory before the library, so that a file of that
    # name stands in for the runner itself.
    "Python": (
        "sitecustomize.py", "usercustomize.py", "*.pth", "*.pyc", "sitecustomize/*", "usercustomize/*",
        "pytest.*", "pytest/*", "_pytest.*", "_pytest/*", "pluggy.*", "pluggy/*", "iniconfig.*",
        "iniconfig/*", "unittest.*", "unittest/*", "doctest.*", "pdb.*", "bdb.*", "noxfile.py", ".coveragerc",
        # What is installed, as far as Python knows; its entry points are pytest's plugins.
        "*.dist-info/*", "*.egg-info/*", "*.egg",
    ),
    # Git: how other files are written, by what filter and encoding.
    "git": (".gitattributes",),
    # JavaScript: test runners' configuration, and the scripts that `npm test` means.
    "JavaScript": (
        "package.json", "jest.config.*", "vitest.config.*", "vite.config.*", "vitest.workspace.*",
        ".mocharc*", "karma.conf.*", "ava.config.*", "playwright.config.*", "cypress.config.*",
        "babel.config.*", ".babelrc*", ".swcrc", ".npmrc", ".yarnrc*", ".pnp.*", ".pnpmfile.cjs",
        "bunfig.toml", "deno.json*", "jest.setup.*", "vitest.setup.*", "setuptests.*",
    ),
    # Builds: what `make test` and its like run.
    "builds": (
        "makefile", "gnumakefile", "*.mk", "justfile", ".justfile", "taskfile.yml", "taskfile.yaml",
        "rakefile", "build.rs", "cargo.toml", ".cargo/config", ".cargo/config.toml", "pom.xml",
        "build.gradle", "build.gradle.kts", "settings.gradle*", "gradle.properties", ".mvn/*", "phpunit.xml",
        "phpunit.xml.dist", ".rspec", "spec_helper.rb", "rails_helper.rb", "test_helper.rb",
        "directory.build.*", "ctestcustom.cmake", "cmakelists.txt",
    ),
}  # fmt: skip
"""In small letters, by the last parts of the path; `*` stands for anything within one name."""

INSTALLED = {"node_modules", ".venv", "site-packages", "dist-packages"}
"""Directories of installed packages, test runners among them."""
_OF_TESTS = {
    "test", "tests", "testing", "testdata", "spec", "specs", "__tests__", "fixtures", "fixture", "examples",
}  # fmt: skip
"""Directories in which such directories are what tests are about."""

LOADED = frozenset((
    "abc", "argparse", "ast", "asyncio", "atexit", "base64", "bdb", "binascii", "bz2", "codecs", "codeop",
    "collections", "concurrent", "configparser", "contextlib", "contextvars", "copyreg", "ctypes",
    "dataclasses", "difflib", "dis", "doctest", "encodings", "enum", "faulthandler", "fcntl", "fnmatch",
    "functools", "genericpath", "gettext", "hashlib", "heapq", "importlib", "inspect", "io", "ipaddress",
    "keyword", "linecache", "locale", "logging", "lzma", "ntpath", "opcode", "operator", "optparse", "os",
    "pathlib", "pdb", "pickle", "pkgutil", "posixpath", "pprint", "pyexpat", "quopri", "re", "readline",
    "reprlib", "runpy", "selectors", "shlex", "shutil", "site", "ssl", "stat", "struct", "subprocess",
    "sysconfig", "tempfile", "textwrap", "threading", "token", "tokenize", "traceback", "types", "typing",
    "unicodedata", "urllib", "warnings", "weakref", "zipfile", "zipimport", "zlib",
))  # fmt: skip
"""Modules of Python's library that unittest or pytest loads: one beside what `python -m` runs stands in for
them. Names that people give to modules of their own, which work there, are not among them (`calendar`,
`code`, `json`): found by trying each with both."""
LOADED_BY_PYTEST = frozenset((
    "bisect", "cmd", "copy", "datetime", "decimal", "email", "glob", "math", "numbers", "platform", "random",
    "select", "string", "xml",
))  # fmt: skip
"""More of them, where the check names pytest: a module of one's own would break it, tried likewise."""
TOOLS = frozenset((
    "bandit", "behave", "black", "compileall", "coverage", "flake8", "green", "isort", "mypy", "nose",
    "nose2", "nox", "pip", "pycodestyle", "pyflakes", "pylint", "pyright", "robot", "ruff", "stestr",
    "subunit", "testtools", "tox", "twisted", "virtualenv", "vulture", "ward",
))  # fmt: skip
"""Packages by which checks of Python are run (`python -m coverage run -m pytest`)."""
PLUGINS = frozenset((
    "anyio", "hypothesis", "pytest_asyncio", "pytest_cov", "pytest_mock", "pytest_timeout", "xdist",
))  # fmt: skip
"""Packages that pytest loads by itself, where they are installed."""
_MODULE = re.compile(r"(?P<name>[^/.]+)(?:\.py|\..*\.so|/.*|)", re.DOTALL)
"""A module, or what lies in a package, from the directory that it is loaded from; or a link in its place."""
_FIRST = re.compile(r"[^/]+(?:/__init__\.py)?")
"""The file by which a module or a package begins."""
_PYTEST = re.compile(r"\b(?:pytest|py\.test)\b")


def _one_of(patterns: Iterable[str]) -> re.Pattern[str]:
    """What finds one of these at the end of a path."""
    each = ("[^/]*".join(map(re.escape, pattern.split("*"))) for pattern in patterns)
    return re.compile(rf"(?:^|/)(?:{'|'.join(each)})\Z")


_ALL = [pattern for patterns in KINDS.values() for pattern in patterns]
_FILE = _one_of(_ALL)
_LINK = _one_of(
    "/".join(parts[:size]) for parts in (one.split("/") for one in _ALL) for size in range(1, len(parts) + 1)
)
_NAMED_TEST = re.compile(r"(^|/)test_[^/]*$|[._-](test|spec)\.[^/.]+$|_test\.[^/]+$")
_AMONG_TESTS = re.compile(r"(^|/)(tests?|testing|specs?|__tests__)/")
_STARTS_TESTS = re.compile(r"(^|/)(run|check|ci)[^/]*$")
_SCRIPT = re.compile(r"\.(ba|da|z|k|a)?sh$")
_BARE = re.compile(r"(^|/)[^/.]+$")


def steers(path: bytes, *, is_link: bool = False) -> bool:
    """Whether a file at that path steers what checks do, whatever they run.

    Args:
        path: Where it lies.
        is_link: Whether it is a link, which may stand for a whole directory.
    """
    text = path.decode(errors="replace")
    return _by_name(text, is_link=is_link) or _is_installed(text) or _is_of(LOADED, text)


def _by_name(path: str, *, is_link: bool) -> bool:
    return (_LINK if is_link else _FILE).search(path.casefold()) is not None


def _is_installed(path: str) -> bool:
    names = path.casefold().split("/")
    places = [place for place, name in enumerate(names) if name in INSTALLED]
    return bool(places) and not _OF_TESTS & set(names[: places[0]])


def _is_of(modules: Collection[str], path: str) -> bool:
    """Whether a file is one of these modules, or the first file of such a package."""
    found = _MODULE.fullmatch(path.casefold())
    return found is not None and found["name"] in modules and _FIRST.fullmatch(path.casefold()) is not None


def is_run(path: bytes, command: str, *, is_program: bool = False, is_link: bool = False) -> bool:
    """Whether a command runs that file, or has it for the configuration of what it runs (`said`).

    Files of tests are not meant: they are what a check is about, and `protect` is there for them. Scripts of
    shells are none, nor is what starts tests, by its name.

    Args:
        path: Where it lies.
        command: The command, for a shell.
        is_program: Whether it may be executed, as far as its mode says.
        is_link: Whether it is or was a link, which may stand for a directory of what the command names.
    """
    text = path.decode(errors="surrogateescape")
    return _is_run(text, said(command), is_program=is_program, is_link=is_link)


def _is_run(path: str, command: Said, *, is_program: bool, is_link: bool) -> bool:
    small = path.casefold()
    is_script = _SCRIPT.search(small) is not None
    if not is_link and not is_script and _is_test(small):
        return False
    return command.means(path, is_program=is_script or is_program, is_link=is_link)


def _is_test(path: str) -> bool:
    if _NAMED_TEST.search(path):
        return not _BARE.search(path)
    return bool(_AMONG_TESTS.search(path)) and not (_STARTS_TESTS.search(path) or _BARE.search(path))


@dataclass(frozen=True)
class Steering:
    """What steers the checks of one tree.

    Attributes:
        commands: What these run.
        heard: What each of them names, also by the tree's links.
        tops: What stands at the tree's top.
        aliases: Links that steer by their names, by where they lead.
    """

    commands: tuple[str, ...]
    heard: tuple[Said, ...]
    tops: frozenset[str]
    aliases: dict[str, list[str]]

    @classmethod
    def of(cls, commands: tuple[str, ...], tree: Tree) -> Steering:
        """That of checks which run these commands on work that begins with a tree."""
        aliases: dict[str, list[str]] = {}
        for link in sorted(tree.links):
            if _by_name(link, is_link=True) and (real := tree.real(link)):
                aliases.setdefault(real, []).append(link)
        heard = tuple(said(command).through(tree) for command in commands)
        return cls(commands, heard, tree.tops, aliases)

    def counts(self, path: str, *, is_new: bool, is_program: bool, is_link: bool, was_link: bool) -> bool:
        """Whether a file that differs from the tree's steers the checks.

        Of those that a command runs only such count as were there before: work that is to bring them along
        can't be checked without.

        Args:
            path: Where it lies.
            is_new: Whether the tree has none there.
            is_program: Whether it may be executed, before or now.
            is_link: Whether it is a link.
            was_link: Whether it was one in the tree.
        """
        if _by_name(path, is_link=is_link) or _is_installed(path) or self._stands_in(path, is_new=is_new):
            return True
        if any(_by_name(name, is_link=False) for name in self._names(path)):
            return True
        linked = is_link or was_link
        return not is_new and any(
            _is_run(path, one, is_program=is_program, is_link=linked) for one in self.heard
        )

    def _names(self, path: str) -> list[str]:
        """By which other names it is found, through links that steer by theirs."""
        if not self.aliases:
            return []
        ends = [place for place, letter in enumerate(path) if letter == "/"] + [len(path)]
        return [link + path[end:] for end in ends for link in self.aliases.get(path[:end], ())]

    def _stands_in(self, path: str, *, is_new: bool) -> bool:
        """Whether it takes the place of a module that checks load, at the top or where a command goes."""
        inside = [path, *(path[len(place) + 1 :] for place in self._places if path.startswith(f"{place}/"))]
        if any(_is_of(self._modules, one) for one in inside):
            return True
        return is_new and any(map(self._is_new_tool, inside))

    @cached_property
    def _places(self) -> set[str]:
        return set(chain.from_iterable(one.named for one in self.heard))

    @cached_property
    def _modules(self) -> frozenset[str]:
        return LOADED | LOADED_BY_PYTEST if self._names_pytest else LOADED

    @cached_property
    def _names_pytest(self) -> bool:
        return any(map(_PYTEST.search, self.commands))

    @cached_property
    def _tools(self) -> frozenset[str]:
        """The tools that the commands name, and what pytest loads if they name that."""
        words = {word for command in self.commands for word in re.findall(r"\w+", command)}
        return (TOOLS & words) | (PLUGINS if self._names_pytest else frozenset())

    def _is_new_tool(self, path: str) -> bool:
        """Whether a new file stands in for a tool, where the tree has nothing of that name."""
        found = _MODULE.fullmatch(path.casefold())
        if found is None or not (path.endswith((".py", ".so")) or "." not in path):
            return False
        name = found["name"]
        return name in self._tools and not self.tops & {name, f"{name}.py"}
