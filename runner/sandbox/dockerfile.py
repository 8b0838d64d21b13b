"""A certificate bundle for builds, written into Dockerfiles: ours and the user's.

Where a network re-signs what it carries, a build trusts nothing until it has the host's bundle. After
each FROM the bundle is copied in and the usual tools are pointed at it by build arguments, which RUN
sees and the finished image does not. The tools layer removes the file again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

BUNDLE = ".corral-ca.crt"
"""The bundle's name in the build context."""

PLACE = "/opt/corral/build-ca.crt"
"""Where the bundle lies while building."""

VARIABLES = (
    "PIP_CERT",
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "CARGO_HTTP_CAINFO",
    "npm_config_cafile",
)

_DIRECTIVE = re.compile(r"#\s*([A-Za-z][A-Za-z0-9]*)\s*=\s*(.+?)\s*$")
_HEREDOC = re.compile(r"\d*<<(-?)(['\"]?)([A-Za-z_][A-Za-z0-9_.]*)\2$")
_WITH_HEREDOC = frozenset({"RUN", "COPY", "ADD"})


def with_bundle(text: str) -> str:
    """The Dockerfile with the bundle added after every FROM.

    Parser directives, comments, continuations and here-documents are understood, so that only real
    FROM instructions count. All other lines stay as they are.
    """
    addition = [f"COPY {BUNDLE} {PLACE}\n", *(f"ARG {name}={PLACE}\n" for name in VARIABLES)]
    out: list[str] = []
    for instruction in instructions(text):
        out.extend(instruction)
        if _keyword(instruction) == "FROM":
            if not out[-1].endswith("\n"):
                out[-1] += "\n"
            out.extend(addition)
    return "".join(out)


def instructions(text: str) -> Iterator[list[str]]:
    """The file's lines, ends included, in groups: an instruction with all its lines, or one other line."""
    lines = re.findall(r"[^\n]*\n|[^\n]+", text)
    continued = _continuation(lines)
    at = 0
    while at < len(lines):
        end = _end(lines, at, continued)
        yield lines[at:end]
        at = end


def _end(lines: list[str], at: int, continued: re.Pattern[str]) -> int:
    """The index after the last line of what begins at `at`."""
    if _idle(lines[at]):
        return at + 1
    end = at
    while end < len(lines) and (continued.search(lines[end]) or (end > at and _idle(lines[end]))):
        end += 1
    end = min(end + 1, len(lines))
    if _keyword(lines[at:end]) in _WITH_HEREDOC:
        end = _after_heredocs(lines, at, end)
    return end


def _after_heredocs(lines: list[str], at: int, end: int) -> int:
    """The index after the here-documents that the instruction in `lines[at:end]` opens, if any."""
    for word in "".join(lines[at:end]).split():
        match = _HEREDOC.match(word)
        if match is None:
            continue
        closing = _closing(lines, end, match[3], tabs=match[1] == "-")
        if closing is None:
            return end
        end = closing + 1
    return end


def _closing(lines: list[str], begin: int, word: str, *, tabs: bool) -> int | None:
    for index in range(begin, len(lines)):
        line = lines[index].rstrip("\r\n")
        if (line.lstrip("\t") if tabs else line) == word:
            return index
    return None


def _keyword(group: list[str]) -> str:
    words = group[0].removeprefix("\ufeff").split(maxsplit=1)
    return words[0].upper() if words and not _idle(group[0]) else ""


def _idle(line: str) -> bool:
    """Whether a line is empty or a comment: neither begins, ends nor interrupts an instruction."""
    return not line.strip() or line.lstrip().startswith("#")


def _continuation(lines: list[str]) -> re.Pattern[str]:
    """How a line says that the next belongs to it: a backslash, or what an `escape` directive names."""
    for line in lines:
        match = _DIRECTIVE.match(line.strip())
        if match is None:
            break
        if match[1].lower() == "escape" and match[2] in {"\\", "`"}:
            return re.compile(re.escape(match[2]) + r"[ \t]*\r?\n?$")
    return re.compile(r"\\[ \t]*\r?\n?$")
