"""Which files steer checks: a test runner or a build loads them without being asked, and does as they say.

Work that changes one of them changes what its own check does. The names are those that common runners look
for; each group says who does.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from fnmatch import translate
from functools import lru_cache
from itertools import dropwhile, groupby
from posixpath import join, normpath

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
        "babel.config.*", ".babelrc*", "bunfig.toml", ".npmrc",
    ),
    # Builds: what `make test` and its like run.
    "builds": (
        "makefile", "gnumakefile", "*.mk", "justfile", ".justfile", "taskfile.yml", "taskfile.yaml",
        "rakefile", "build.rs", "cargo.toml", ".cargo/config", ".cargo/config.toml", "pom.xml", ".mvn/*",
        "build.gradle", "build.gradle.kts", "gradle.properties", "phpunit.xml", "phpunit.xml.dist",
        ".rspec", "ctestcustom.cmake", "cmakelists.txt",
    ),
}  # fmt: skip
"""In small letters, by the last parts of the path; `*` stands for anything within one name."""

_PATTERNS = [
    (tuple(re.compile(translate(part)) for part in pattern.split("/")), kind)
    for kind, patterns in KINDS.items()
    for pattern in patterns
]

_SHELLS = {"sh", "bash", "dash", "zsh", "ksh", "ash"}
_INTERPRETERS = _SHELLS | {"python", "pypy", "node", "deno", "bun", "perl", "ruby", "php", ".", "source"}
_BEFORE = {
    "if", "then", "elif", "else", "while", "until", "do", "!", "{", "<", "time", "exec", "command", "builtin",
    "env", "nohup", "nice", "ionice", "setsid", "stdbuf", "timeout", "xargs", "sudo", "xvfb-run", "busybox",
    "uv", "poetry", "pipenv", "pdm", "hatch", "rye", "conda", "npx", "coverage", "run",
}  # fmt: skip
"""Words of shells, and programs that start another one, which stand before the one that counts."""
_ASIDE = re.compile(r"-|\w+=|\d+(\.\d+)?[smhd]?$")
"""What may stand between them: options, variables and durations."""
_TEST = re.compile(
    r"(^|/)(tests?|testing|specs?|__tests__)/|(^|/)test_[^/]*$|[._-](test|spec)\.[^/.]+$|_test\.[^/]+$"
)
_SCRIPT = re.compile(r"\.(sh|bash|zsh|ksh)$|(^|/)[^/.]+$")


def steers(path: bytes, *, is_link: bool = False) -> bool:
    """Whether a file at that path steers what a check does.

    Args:
        path: Where it lies.
        is_link: Whether it is a link, which may stand for a whole directory.
    """
    names = path.decode(errors="replace").casefold().split("/")
    return any(
        _ends_with(names, parts[:size])
        for parts, _ in _PATTERNS
        for size in range(1 if is_link else len(parts), len(parts) + 1)
    )


def _ends_with(names: list[str], parts: tuple[re.Pattern[str], ...]) -> bool:
    ends = names[-len(parts) :]
    return len(ends) == len(parts) and all(map(re.Pattern.match, parts, ends))


def is_run(path: bytes, command: str) -> bool:
    """Whether a command runs that file: as a program, as an interpreter's, or as a module of Python's.

    Files of tests are not meant: they are what a check is about, and `protect` is there for them. Scripts of
    shells are none.
    """
    text = path.decode(errors="replace")
    is_test = _TEST.search(text.casefold()) and not _SCRIPT.search(text.casefold())
    return not is_test and text in _run_by(command)


@lru_cache(maxsize=64)
def _run_by(command: str, depth: int = 3) -> frozenset[str]:
    """The files that the commands of a shell's line run, below the directories to which it goes too."""
    found: set[str] = set()
    here = ""
    for words in _commands(command) if depth else ():
        rest = list(dropwhile(lambda word: word in _BEFORE or _ASIDE.match(word), words))
        if rest[:1] in (["cd"], ["pushd"]) and len(rest) > 1:
            here = join(here, rest[-1])
        nested = [part.rstrip(")`") for word in words for part in re.split(r"\$\(|`", word)[1:]]
        for file in (*_programs(rest, depth), *(one for part in nested for one in _run_by(part, depth - 1))):
            inside = file.removeprefix("/workspace/")
            found |= {normpath(inside), normpath(join(here, inside))}
    return frozenset(found)


def _commands(line: str) -> Iterator[list[str]]:
    """The single commands of a shell's line, in words."""
    reading = shlex.shlex(line.replace("\n", " ; "), posix=True, punctuation_chars=True)
    reading.whitespace_split, reading.commenters = True, ""
    try:
        words = list(reading)
    except ValueError:  # a quote that never ends
        words = line.split()
    for is_end, group in groupby(words, lambda word: set(word) <= set(";&|()$")):
        if not is_end:
            yield list(group)


def _programs(words: list[str], depth: int) -> Iterator[str]:
    """The files that one command runs."""
    if not words:
        return
    yield words[0]
    name = words[0].rpartition("/")[2]
    if not {name, name.rstrip("0123456789.")} & _INTERPRETERS:
        return
    options = [word for word in words[1:] if word.startswith("-")]
    others = [word for word in words[1:] if not word.startswith("-") and word != "<"]
    if name in _SHELLS and any(re.match(r"-\w*c", one) for one in options):
        yield from _run_by(others[0], depth - 1) if others else ()
    elif "-m" in options:
        module = words[words.index("-m") + 1 :][:1]
        yield from (f"{one.replace('.', '/')}{end}" for one in module for end in (".py", "/__main__.py"))
    elif "-c" not in options and ("-e" not in options or name in _SHELLS):
        yield from others[:2]  # the first may be an option's
        yield from [word for word in others if {".", "/"} & set(word)][:1]
