"""Ignored files of the user's work tree that a task needs, read for its workspaces."""

from __future__ import annotations

from pathlib import Path

from runner.errors import UsageError
from runner.guarded import GuardedError, Why, read_file
from runner.tasks.keys import key_text_rule
from runner.tasks.plan import Source

LARGEST = 64 * 1024 * 1024

WORDS: dict[Why, tuple[str, str]] = {
    "missing": ("can't be read: it is not there", "make the file, or take it out of `include:`"),
    "not-plain": ("is no plain file of the work tree", "name a file; links are not followed"),
    "too-large": (f"is larger than {LARGEST // 1024**2} MiB", "make it a part of `setup:`"),
}
"""What is wrong with a file, and the cure, by the reader's reason."""


def read_includes(source: Source) -> dict[str, bytes]:
    """The included files of a source, by relative path.

    Raises:
        UsageError: One is missing, is not a plain file of the tree, is too large, or holds a key.
    """
    return {path: _read(Path(source.repo), path) for path in source.include}


def _read(top: Path, path: str) -> bytes:
    try:
        content = read_file(top, path, LARGEST)
    except GuardedError as error:
        words, cure = WORDS.get(error.why, (f"can't be read: {error.message}", "make it readable"))
        raise UsageError(f"`include` names {top / path}, which {words}", cure=cure) from error
    found = key_text_rule(content.decode("utf-8", errors="replace"))
    if found is not None:
        raise UsageError(
            f"{top / path} holds what looks like {found}", cure="keys never enter a box: take it out"
        )
    return content
