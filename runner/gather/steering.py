"""Which files steer checks: a test runner or a build loads them without being asked, and does as they say.

Work that changes one of them changes what its own check does. The names are those that common runners look
for; each group says who does.
"""

from __future__ import annotations

import re
from fnmatch import translate

KINDS: dict[str, tuple[str, ...]] = {
    # pytest: configuration files and plugins ("Configuration", "Writing plugins" in its documentation).
    "pytest": (
        "conftest.py", "pytest.ini", ".pytest.ini", "pytest.toml", ".pytest.toml", "tox.ini", "setup.cfg",
        "pyproject.toml",
    ),
    # Python: `site` imports these; `-m` puts the working directory before the library, so that a file of that
    # name stands in for the runner itself.
    "Python": (
        "sitecustomize.py", "usercustomize.py", "*.pth", "*.pyc", "pytest.py", "pytest/*", "_pytest/*",
        "pluggy/*", "unittest.py", "unittest/*", "doctest.py", "noxfile.py", ".coveragerc",
    ),
    # JavaScript: test runners' configuration, and the scripts that `npm test` means.
    "JavaScript": (
        "package.json", "jest.config.*", "vitest.config.*", "vite.config.*", "vitest.workspace.*",
        ".mocharc*", "karma.conf.*", "ava.config.*", "playwright.config.*", "cypress.config.*",
        "babel.config.*", ".npmrc",
    ),
    # Builds: what `make test` and its like run.
    "builds": (
        "makefile", "gnumakefile", "*.mk", "justfile", ".justfile", "taskfile.yml", "taskfile.yaml",
        "rakefile", "build.rs", "cargo.toml", ".cargo/config", ".cargo/config.toml", "pom.xml",
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
_INTERPRETERS = {
    "sh",
    "bash",
    "dash",
    "zsh",
    "python",
    "node",
    "perl",
    "ruby",
    "php",
    "env",
    "exec",
    "time",
    ".",
}
_TEST = re.compile(
    r"(^|/)(tests?|testing|specs?|__tests__)/|(^|/)test_[^/]*$|[._-](test|spec)\.[^/.]+$|_test\.[^/]+$"
)


def steers(path: bytes) -> bool:
    """Whether a file at that path steers what a check does."""
    names = path.decode(errors="replace").casefold().split("/")
    return any(
        len(names) >= len(parts)
        and all(part.match(name) for part, name in zip(reversed(parts), reversed(names), strict=False))
        for parts, _ in _PATTERNS
    )


def is_run(path: bytes, command: str) -> bool:
    """Whether a command runs that file: as a program, or as what an interpreter is given first.

    Files of tests are not meant: they are what a check is about, and `protect` is there for them.
    """
    text = path.decode(errors="replace")
    return not _TEST.search(text.casefold()) and text in _programs(command)


def _programs(command: str) -> set[str]:
    """The first words of all commands of a shell's line, and the first words after interpreters."""
    found = set()
    for part in re.split(r"[;&|()\n]+", command):
        words = [word.strip("'\"") for word in part.split() if not re.match(r"\w+=", word)]
        if not words:
            continue
        found.add(words[0].removeprefix("./"))
        program = words[0].rpartition("/")[2]
        if {program, program.rstrip("0123456789.")} & _INTERPRETERS and not {"-c", "-m", "-e"} & set(words):
            files = (word for word in words[1:] if not word.startswith("-") and {".", "/"} & set(word))
            found.add(next(files, "").removeprefix("./"))
    return found
