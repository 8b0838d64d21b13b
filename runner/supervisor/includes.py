"""Ignored files of the user's work tree that a task needs, read for its workspaces."""

from __future__ import annotations

import stat
from pathlib import Path

from runner.errors import UsageError
from runner.tasks.keys import key_text_rule
from runner.tasks.plan import Source

LARGEST = 64 * 1024 * 1024


def read_includes(source: Source) -> dict[str, bytes]:
    """The included files of a source, by relative path.

    Raises:
        UsageError: One is missing, is not a plain file of the tree, is too large, or holds a key.
    """
    return {path: _read(Path(source.repo), path) for path in source.include}


def _read(top: Path, path: str) -> bytes:
    file = top / path
    try:
        mode = file.lstat().st_mode
        if not stat.S_ISREG(mode) or not file.resolve().is_relative_to(top.resolve()):
            raise UsageError(
                f"`include` names {file}, which is no plain file of the work tree", cure="name a file"
            )
        if file.stat().st_size > LARGEST:
            raise UsageError(
                f"{file} is larger than {LARGEST // 1024**2} MiB", cure="make it a part of `setup:`"
            )
        content = file.read_bytes()
    except OSError as error:
        cure = "make the file, or take it out of `include:`"
        raise UsageError(
            f"`include` names {file}, which can't be read: {error.strerror}", cure=cure
        ) from error
    found = key_text_rule(content.decode("utf-8", errors="replace"))
    if found is not None:
        raise UsageError(f"{file} holds what looks like {found}", cure="keys never enter a box: take it out")
    return content
