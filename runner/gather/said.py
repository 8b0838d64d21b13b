"""What a command names: which files it runs, and which only stand in it. No shell is followed.

Shells have many ways to run a file, and each new one would be a way around a grammar. So a file that is
nothing but a program counts wherever the command names it, whatever starts it there; another one, which may
as well be what the work is about, where a word before it is known to run files.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise, takewhile
from posixpath import normpath

from runner.gather.tree import Tree

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
_CONFIGURATION = re.compile(r"\.(ini|cfg|toml|json|ya?ml|[cm]?[jt]s)$")
_HERE = re.compile(r"([\"']?)(?:\$\{?\w+\}?|\$\(pwd\)|`pwd`)([\"']?)/")
"""A directory that a shell puts in, before the rest of a path: it is taken for the tree's."""
_QUOTED = re.compile(r"\\(.)|'([^']*)'|\"((?:[^\"\\]|\\.)*)\"", re.DOTALL)
_PARTS = re.compile(r"[;&|(`\n]+")
_APART = re.compile(r"[\s;&|()`]")
_BLANK = "\0"
"""What sets words and commands apart, and, where it is quoted, does not."""
_WORD = re.compile(r"[^\s<>=:{})]+")


@dataclass(frozen=True)
class Said:
    """What a command names.

    Attributes:
        named: Its words, as paths, but for those after what only looks at files.
        run: Those of files that it runs, whatever kind they are of.
        words: All of its words, as paths.
    """

    named: frozenset[str]
    run: frozenset[str]
    words: frozenset[str]

    @property
    def parts(self) -> frozenset[str]:
        """The names of files and directories in its words."""
        return frozenset(part for word in self.words for part in word.split("/"))

    def through(self, tree: Tree) -> Said:
        """The same, and where its words lead by the links of a tree."""
        if not tree.links:
            return self
        return Said(*(words | _led(words, tree) for words in (self.named, self.run, self.words)))

    def means(self, path: str, *, is_program: bool, is_link: bool) -> bool:
        """Whether it runs the file at that path, from the top or from a directory that it names, too.

        Args:
            path: Where the file lies.
            is_program: Whether it is nothing but a program.
            is_link: Whether it is a link, which may stand for a directory of what is named.
        """
        if is_link and any(word.startswith(f"{path}/") for word in self.named):
            return True
        words = self.named if is_program else self.run
        ends = (path[place:] for place in _starts(path))
        return any(end in words and self._is_from(path[: len(path) - len(end)]) for end in ends)

    def _is_from(self, above: str) -> bool:
        return not above or above.rstrip("/").rpartition("/")[2] in self.parts


def _starts(path: str) -> Iterator[int]:
    """Where the names of a path begin."""
    yield 0
    yield from (found.end() for found in re.finditer("/", path))


def _led(words: frozenset[str], tree: Tree) -> frozenset[str]:
    return frozenset(real for word in words if (real := tree.real(word)))


@lru_cache(maxsize=64)
def said(command: str) -> Said:
    """What a command names, also in what it hands to a shell of its own."""
    named, run, words = set[str](), set[str](), set[str]()
    for one in _commands(command):
        may_run = list(takewhile(lambda word: word not in _LOOKS, one))
        words |= set(one)
        named |= set(may_run)
        run |= set(_configured_by(one)) | set(_run_by(may_run))
        if _runs_what_it_reads(may_run):
            run |= {word for other in _commands(command) for word in other}
    return Said(_plain(named | run), _plain(run), _plain(words))


def _commands(command: str) -> Iterator[list[str]]:
    """The words of each single command, and of those that stand in quotes."""
    quoted: list[str] = []

    def flat(found: re.Match[str]) -> str:
        escaped, single, double = found.groups()
        if escaped is not None:
            return "" if escaped == "\n" else _APART.sub(_BLANK, escaped)
        text = single if single is not None else re.sub(r"\\(.)", r"\1", double, flags=re.DOTALL)
        quoted.append(text)
        return _APART.sub(_BLANK, text)

    outside = _QUOTED.sub(flat, _HERE.sub(_without, command))
    for part in _PARTS.split(re.sub(r"[\"']", "", outside)):
        yield [word.replace(_BLANK, " ") for word in _WORD.findall(part)]
    for text in quoted:
        if _PARTS.search(text) or " " in text:
            yield from (_WORD.findall(re.sub(r"[\"']", "", part)) for part in _PARTS.split(text))


def _without(found: re.Match[str]) -> str:
    """Nothing, but for a quote that begins or ends there alone."""
    before, after = found.groups()
    return "" if before and after else before + after


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
