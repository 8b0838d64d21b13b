"""Files that only checks see: read beside the task file, and kept as they were when the run was planned.

    CORRAL_HOME/hidden/<digest>    the files of one directory, by their content and names

An agent's box never has them: what it could read it could write its work for. A run of many hours goes on
with what was there at its start, whatever becomes of the directory meanwhile.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from runner.errors import UsageError
from runner.guarded import GuardedError, read_file
from runner.tasks.keys import key_text_rule
from runner.tasks.plan import Hidden, Plan

LARGEST = 64 * 1024 * 1024
MOST = 10_000
"""Files."""
LEFT_OUT = frozenset({"__pycache__", ".git", ".pytest_cache"})
"""Directories that tools leave beside tests."""


@dataclass(frozen=True)
class HiddenFile:
    """One file; `path` is relative, with slashes."""

    path: str
    content: bytes
    is_program: bool


def read(folder: Path) -> tuple[HiddenFile, ...]:
    """All files of a directory, in the order of their paths.

    Raises:
        UsageError: It is no directory, holds nothing or too much, something that is no plain file, or a key.
    """
    files = []
    room = LARGEST
    for path in _paths(folder):
        try:
            content = read_file(folder, path, room)
        except GuardedError as error:
            cure = "only plain files are laid over the work"
            if error.why == "too-large":
                cure = f"all of them may hold {LARGEST // 1024**2} MiB together"
            raise UsageError(f"`hidden` of {folder}: {error.message}", cure=cure) from error
        room -= len(content)
        if found := key_text_rule(content.decode("utf-8", errors="replace")):
            raise UsageError(
                f"{folder / path} holds what looks like {found}", cure="keys never enter a box: take it out"
            )
        files.append(HiddenFile(path, content, os.access(folder / path, os.X_OK)))
    if not files:
        raise UsageError(f"`hidden` names {folder}, which holds no file", cure="put the tests there")
    return tuple(files)


def digest(files: tuple[HiddenFile, ...]) -> str:
    """What these files are known by."""
    made = hashlib.sha256()
    for file in files:
        name = os.fsencode(file.path)
        made.update(b"%d %d %d\n" % (len(name), len(file.content), file.is_program) + name + file.content)
    return made.hexdigest()[:32]


def place(home: Path, hidden: Hidden) -> Path:
    """Where the files are kept that a check is to see."""
    return home / "hidden" / hidden.digest


def keep(plan: Plan, home: Path) -> None:
    """Keep the hidden files of a plan's tasks, where they are not kept yet.

    Raises:
        UsageError: They are not what they were when the run was planned.
        OSError: They can't be written.
    """
    for hidden in dict.fromkeys(task.hidden for task in plan.tasks if task.hidden is not None):
        kept = place(home, hidden)
        if kept.exists():
            continue
        files = read(Path(hidden.path))
        if digest(files) != hidden.digest:
            raise UsageError(f"{hidden.path} was changed since the run was planned", cure="start a new run")
        _write(files, kept)


def names(home: Path, hidden: Hidden) -> tuple[str, ...]:
    """The paths of the files that are kept."""
    kept = place(home, hidden)
    return tuple(path.relative_to(kept).as_posix() for path in kept.rglob("*") if path.is_file())


def _write(files: tuple[HiddenFile, ...], kept: Path) -> None:
    """Write the files so that they are there as a whole, or not at all."""
    kept.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=".new-", dir=kept.parent))
    try:
        for file in files:
            path = fresh / file.path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(file.content)
            path.chmod(0o755 if file.is_program else 0o644)
        for folder, _, _ in os.walk(fresh):
            Path(folder).chmod(0o755)
        fresh.rename(kept)
    except OSError:
        shutil.rmtree(fresh, ignore_errors=True)
        if not kept.exists():  # else another process of this host was quicker
            raise


def _paths(folder: Path) -> Iterator[str]:
    if not folder.is_dir():
        raise UsageError(f"`hidden` names {folder}, which is no directory", cure="name a directory of tests")
    found = 0
    for top, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in LEFT_OUT)
        for link in (name for name in folders if (Path(top) / name).is_symlink()):
            said = f"`hidden` of {folder}: {(Path(top) / link).relative_to(folder)} is a link"
            raise UsageError(said, cure="only plain files are laid over the work")
        for name in sorted(set(names) - LEFT_OUT):
            found += 1
            if found > MOST:
                raise UsageError(
                    f"`hidden` of {folder}: more than {MOST} files", cure="name what checks need"
                )
            yield str((Path(top) / name).relative_to(folder))
