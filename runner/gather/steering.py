"""Which files steer checks: a test runner or a build loads them without being asked, and does as they say.

Work that changes one of them changes what its own check does. The names are those that common runners look
for; each group says who does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import translate
from functools import lru_cache
from itertools import pairwise, takewhile
from posixpath import normpath

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
LOADED = (
    "argparse", "ast", "asyncio", "atexit", "base64", "bdb", "codeop", "concurrent", "configparser",
    "contextlib", "contextvars", "copyreg", "dataclasses", "difflib", "dis", "doctest", "fnmatch",
    "functools", "gettext", "hashlib", "importlib", "inspect", "linecache", "locale", "logging", "opcode",
    "optparse", "pathlib", "pdb", "pickle", "pkgutil", "pprint", "reprlib", "runpy", "selectors", "shlex",
    "shutil", "signal", "socket", "ssl", "struct", "subprocess", "sysconfig", "tempfile", "textwrap",
    "threading", "token", "tokenize", "traceback", "typing", "warnings", "weakref", "zipfile", "zlib",
)  # fmt: skip
"""Modules of Python's library that unittest or pytest loads. One at the top of the tree stands in for them
where `python -m` is used. Names that people give to modules of their own are not among them (`queue`)."""
_STANDS_IN = re.compile(rf"({'|'.join(LOADED)})(\.py|\..*\.so|/__init__\.py)?")
"""Such a file, or a link in the place of a package."""

TOOLS = (
    "bandit", "behave", "black", "compileall", "coverage", "flake8", "green", "hypothesis", "isort", "mypy",
    "nose", "nose2", "nox", "pip", "pycodestyle", "pyflakes", "pylint", "pyright", "pytest_asyncio",
    "pytest_cov", "pytest_mock", "pytest_timeout", "robot", "ruff", "stestr", "subunit", "testtools", "tox",
    "twisted", "virtualenv", "vulture", "ward", "xdist", "zope",
)  # fmt: skip
"""Packages by which checks of Python are run (`python -m coverage run -m pytest`), or that pytest loads."""
_IS_TOOL = re.compile(rf"({'|'.join(TOOLS)})(\.py|\..*\.so|/.*)?", re.DOTALL)

_PATTERNS = [
    (tuple(re.compile(translate(part)) for part in pattern.split("/")), kind)
    for kind, patterns in KINDS.items()
    for pattern in patterns
]

_SHELLS = {"sh", "bash", "dash", "zsh", "ksh", "ash"}
_INTERPRETERS = {
    "python", "pypy", "node", "deno", "bun", "tsx", "ts-node", "perl", "prove", "ruby", "php", "lua",
}  # fmt: skip
_RUNS = _SHELLS | _INTERPRETERS | {".", "source", "run", "chmod"}
"""Words after which a file stands that is run, or will be: `uv run` and its like among them."""
_READS = {"make", "gmake", "just", "awk", "gawk", "mawk", "sed"}
"""What takes the file that says what to do after `-f`."""
_LOOKS = {
    "grep", "egrep", "fgrep", "rg", "cat", "head", "tail", "wc", "diff", "cmp", "echo", "printf", "test", "[",
    "ls", "jq", "sed", "awk", "shellcheck",
}  # fmt: skip
"""What runs nothing that is named after it, such as `grep python README`."""
_HAND_ON = {"xargs", "-exec", "-execdir", "parallel"}
"""What starts programs on what they read."""
_NOTHING = {"-", "-s", "-x", "-e", "+"}
"""What may stand behind a word that runs what it reads."""
_TEST = re.compile(
    r"(^|/)(tests?|testing|specs?|__tests__)/|(^|/)test_[^/]*$|[._-](test|spec)\.[^/.]+$|_test\.[^/]+$"
)
_SCRIPT = re.compile(r"\.(ba|da|z|k|a)?sh$")
_BARE = re.compile(r"(^|/)[^/.]+$")
_CONFIGURATION = re.compile(r"\.(ini|cfg|toml|json|ya?ml|[cm]?[jt]s)$")


def steers(path: bytes, *, is_link: bool = False) -> bool:
    """Whether a file at that path steers what a check does.

    Args:
        path: Where it lies.
        is_link: Whether it is a link, which may stand for a whole directory.
    """
    text = path.decode(errors="replace").casefold()
    names = text.split("/")
    if _STANDS_IN.fullmatch(text) or INSTALLED & set(names):
        return True
    return any(
        _ends_with(names, parts[:size])
        for parts, _ in _PATTERNS
        for size in range(1 if is_link else len(parts), len(parts) + 1)
    )


def stands_in(path: bytes) -> bool:
    """Whether a new file at the top of the tree stands in for a tool by which checks are run.

    Where it was there before, the tool may be what the work is about.
    """
    return _IS_TOOL.fullmatch(path.decode(errors="replace").casefold()) is not None


def _ends_with(names: list[str], parts: tuple[re.Pattern[str], ...]) -> bool:
    ends = names[-len(parts) :]
    return len(ends) == len(parts) and all(map(re.Pattern.match, parts, ends))


def is_run(path: bytes, command: str, *, is_program: bool = False, is_link: bool = False) -> bool:
    """Whether a command runs that file, or has it for the configuration of what it runs.

    No shell is followed. A file that is nothing but a program counts wherever the command names it, whatever
    starts it there; another one, which may as well be what the work is about, where a word before it is known
    to run files. Files of tests are not meant: they are what a check is about, and `protect` is there for
    them. Scripts of shells are none.

    Args:
        path: Where it lies.
        command: The command, for a shell.
        is_program: Whether it may be executed, as far as its mode says.
        is_link: Whether it is or was a link, which may stand for a directory of what the command names.
    """
    text = path.decode(errors="replace")
    small = text.casefold()
    is_script = _SCRIPT.search(small) is not None
    if not is_link and _TEST.search(small) and not (is_script or _BARE.search(small)):
        return False
    if " " in text:  # as one word
        name = text.rpartition("/")[2]
        command, text = command.replace(name, name.replace(" ", "_")), text.replace(" ", "_")
    said = _said(command)
    if is_link and any(word.startswith(f"{text}/") for word in said.named):
        return True
    return any(said.means(word, text) for word in (said.named if is_script or is_program else said.run))


@dataclass(frozen=True)
class _Said:
    """What a command names.

    Attributes:
        named: Its words, as paths, but for those after what only looks at files.
        run: Those of files that it runs, whatever kind they are of.
        parts: The names of files and directories in its words.
    """

    named: frozenset[str]
    run: frozenset[str]
    parts: frozenset[str]

    def means(self, word: str, path: str) -> bool:
        """Whether a word may mean that path, from the top or from a directory that the command names, too."""
        if not path.endswith(word):
            return False
        above = path[: -len(word)].rstrip("/")
        return path == word or (path[-len(word) - 1] == "/" and above.rpartition("/")[2] in self.parts)


@lru_cache(maxsize=64)
def _said(command: str) -> _Said:
    flat = re.sub(r"[\"']|\\\n?", "", command)
    flat = re.sub(r"(\$\{?\w+\}?|\$\(pwd\)|`pwd`)/", "", flat)
    commands = [re.findall(r"[^\s<>=:{})]+", part) for part in re.split(r"[;&|(`\n]+", flat)]
    all_words = {word for words in commands for word in words}
    named, run = set[str](), set[str]()
    for words in commands:
        may_run = list(takewhile(lambda word: word not in _LOOKS, words))
        named |= set(may_run)
        run |= set(_configured_by(words)) | set(_run_by(may_run))
        run |= all_words if _runs_what_it_reads(may_run) else set()
    parts = {part for word in all_words for part in word.split("/")}
    return _Said(_plain(named | run), _plain(run), frozenset(parts))


def _plain(words: set[str]) -> frozenset[str]:
    """These words as paths from where the work lies, or from a directory below."""
    plain = {re.sub(r"^(\.\./|/?workspace/)+", "", normpath(word)) for word in words}
    return frozenset(plain - {"", ".", "..", "/"})


def _configured_by(words: list[str]) -> Iterator[str]:
    """The files that options of one command name: Python's modules, plugins, configuration, programs."""
    for before, word in pairwise(words):
        if re.match(r"-\w*m$|-p$", before):
            yield from (word.replace(".", "/") + end for end in (".py", "/__main__.py"))
        configures = re.match(r"-c$|--\w*conf", before) and _CONFIGURATION.search(word)
        if configures or (re.match(r"-\w*f$", before) and _READS & set(words)):
            yield word


def _runners(words: list[str]) -> Iterator[tuple[int, str]]:
    """Where words of one command stand that run files, and what they are called."""
    for index, word in enumerate(words):
        name = word.rpartition("/")[2].rstrip("0123456789.") if index or word != "." else word
        if name in _RUNS:
            yield index, name


def _run_by(words: list[str]) -> Iterator[str]:
    """The files that one command runs."""
    for index, name in _runners(words):
        for one in _after(name, words[index + 1 :]):
            yield from (one, f"{one}/__main__.py")


def _runs_what_it_reads(words: list[str]) -> bool:
    """Whether one command runs what comes to it: `| sh`, or `-exec sh`."""
    begun_by_another = bool(_HAND_ON & set(words))
    return any(
        (not index or begun_by_another) and set(words[index + 1 :]) <= _NOTHING
        for index, _ in _runners(words)
    )


def _after(name: str, words: list[str]) -> Iterator[str]:
    """The files after a word that runs files: the first, and another where that may be an option's."""
    is_shell, seen = name in _SHELLS, 0
    for word in words:
        if re.match(r"-\w*[cm]$" if is_shell else r"-\w*[cem]$", word):
            return  # a text, whose words are seen where they stand; or a module
        if word.startswith("-") or re.fullmatch(r"[\d.]+", word):
            continue
        is_path, seen = bool({".", "/"} & set(word)), seen + 1
        if is_path or seen <= 2:
            yield word
        if is_path or name == "run":
            return
