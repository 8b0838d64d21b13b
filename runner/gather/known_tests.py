"""How tests look, and files that hold them: by names and single lines, as runners know them. Pure."""

from __future__ import annotations

import re

_TEST_FILE = re.compile(
    r"(^|/)(tests?|spec|__tests__|testing|e2e)/"
    r"|(^|/)(test_[^/]*|[^/]*_tests?)\.(py|go|rs|exs?|c|cc|cpp)$|(^|/)conftest\.py$"
    r"|\.(test|spec)\.[cm]?[jt]sx?$|(^|/)[^/]*(Test|Tests|IT|Spec)\.(java|kt|scala|cs)$|_spec\.rb$"
)
_NAME = re.compile(
    r"(^|/)(test_[^/]*|[^/]*_tests?|tests?)\.\w+$|\.(test|spec)\.\w+$|_spec\.\w+$"
    r"|(^|/)([^/]*(Tests?|TestCase|IT|Spec)|Test[A-Z][^/]*)\.(java|kt|scala|groovy|cs|php|swift)$|\.(bats|feature)$"
)
_BESIDE = re.compile(
    r"(^|/)conftest\.py$|\.(md|rst|txt|adoc|json[lc5]?|csv|tsv|xml|ya?ml|toml|ini|cfg|conf|html?|css|svg|png"
    r"|jpe?g|gif|webp|pdf|log|lock|sql|snap|golden|expected|out|in|bin|dat|gz|zip)$",
    re.IGNORECASE,
)
"""Prose, data and fixtures: they are beside tests, and are none."""
_COLLECTED = {
    "py": re.compile(r"(^|/)(test_[^/]*|[^/]*_tests?|tests?)\.py$"),
    "go": re.compile(r"_test\.go$"),
}
"""Files in which runners look, by their last part; in other languages that is a matter of configuration."""
_PASSED_OVER = re.compile(r"(^|/)(\.[^/]+|node_modules)/")
_PASSED_OVER_IN = {
    "py": re.compile(r"(^|/)(build|dist|venv|[^/]*\.egg|CVS|_darcs|\{arch\})/"),
    "go": re.compile(r"(^|/)(_[^/]*|testdata)/"),
}
"""Directories in which they do not: pytest's `norecursedirs`, and those that `go help packages` names."""

_TEST = re.compile(
    r"^\s*(?:async\s+)?def\s+(test\w*)\s*\("
    r"|^\s*class\s+(Test\w*)\b"
    r"|^\s*func\s+((?:Test|Fuzz)\w+)\s*\("
    r"|^\s*(?:it|test|describe)\s*\(\s*(['\"`][^'\"`]*['\"`])"
)
_MARKED_TEST = re.compile(r"^\s*(?:#\[(?:\w+::)?test\b|@(?:Parameterized)?Test\b)")
_SKIP = re.compile(
    r"@\s*(?:pytest\.mark\.)(?:skip|skipif|xfail)\b|pytestmark\s*=.*\b(?:skip|skipif|xfail)\b"
    r"|\bpytest\.(?:skip|xfail|importorskip)\s*\(|@\s*(?:unittest\.)?(?:skip|skipIf|skipUnless|expectedFailure)\b"
    r"|\.skipTest\s*\(|\braise\s+(?:unittest\.)?SkipTest\b|\b__test__\s*=\s*(?:False|None|0)\b"
    r"|\b(?:it|test|describe)\.(?:skip|only|todo|failing)\b|^\s*x(?:it|test|describe)\s*\("
    r"|\bt\.Skip(?:f|Now)?\s*\(|#\[ignore\b|@(?:Disabled|Ignore)\b"
)
_SKIP_WORDS = (
    "kip", "xfail", "expectedFailure", "__test__", ".only", ".todo", ".failing", "xit", "xtest", "xdescribe",
    "ignore", "Ignore", "Disabled",
)  # fmt: skip
"""One of them is in every such line: looking for these is much quicker."""


def is_of_tests(path: str) -> bool:
    """Whether a file is one of tests, by its name or its place."""
    return _TEST_FILE.search(path) is not None


def holds_tests(path: str, content: bytes) -> bool:
    """Whether a file holds tests: by its name, whatever its place, or by a line that begins one."""
    if _BESIDE.search(path) or b"\0" in content:
        return False
    lines = content.decode(errors="replace").splitlines()
    return _NAME.search(path) is not None or any(test_in(line) or is_marked_test(line) for line in lines)


def is_collected(path: str) -> bool:
    """Whether test runners look for tests in a file, as far as its name and its place tell."""
    kind = path.rpartition(".")[2]
    if kind not in _COLLECTED:
        return _PASSED_OVER.search(path) is None
    passed_over = _PASSED_OVER.search(path) or _PASSED_OVER_IN[kind].search(path)
    return not passed_over and _COLLECTED[kind].search(path) is not None


def test_in(text: str) -> str | None:
    """The name of the test that a line begins; None for other lines."""
    found = _TEST.search(text)
    return None if found is None else next(name for name in found.groups() if name)


def is_marked_test(text: str) -> bool:
    """Whether a line says that a test follows, where tests are marked (Rust, Java)."""
    return _MARKED_TEST.search(text) is not None


def skips(text: str) -> bool:
    """Whether a line has tests skipped, or expected to fail."""
    if not any(word in text for word in _SKIP_WORDS):
        return False
    return _SKIP.search(text) is not None and not is_comment(text)


def is_comment(text: str) -> bool:
    """Whether a line is one, in any language: Rust's attributes are none."""
    start = text.lstrip()
    return start.startswith(("#", "//", "*", "/*")) and not start.startswith("#[")
