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
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from runner.errors import UsageError
from runner.gather.known_tests import holds_tests
from runner.gather.steering import is_run
from runner.git.base_store import BaseStore
from runner.git.commits import oid_of
from runner.guarded import GuardedError, read_file
from runner.tasks.keys import key_text_rule
from runner.tasks.plan import Hidden, Plan, Source

LARGEST = 64 * 1024 * 1024
MOST = 10_000
"""Files."""
LOOKED_UP = 200
"""Paths that are looked up in the history."""
LEFT_OUT = frozenset({"__pycache__", ".git", ".pytest_cache"})
"""Directories that tools leave beside tests."""
_WITHOUT_PAST = "give agents no past, `history: none` or `shallow`; or hide tests that were never committed"


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


def out_of_sight(
    folder: Path, files: tuple[HiddenFile, ...], source: Source, commands: tuple[str, ...]
) -> tuple[str, ...]:
    """See that an agent does not find hidden files in what it starts from.

    A file that the base has elsewhere is none that could be hidden: a later release's tests, say, most of
    which were there before. There must be others, and no test of these may be in anything that a box is
    given: as it is, or with all its lines ending as on Unix or on Windows. Files beside tests often stay the
    same for years: those are told.

    Args:
        folder: The directory.
        files: What it holds.
        source: What agents are given.
        commands: What checks run; a file that one of them runs is a test, whatever its name.

    Returns:
        What a person should know.

    Raises:
        UsageError: The base commit has them, or the history before it where agents are given that; or they
            are among the files that agents are given besides.
    """
    base = BaseStore(Path(source.git_dir), source.base)
    if (inside := _inside(folder, source)) is not None:
        _not_given(folder, inside, base, source)
    by_oid = {oid: file for file in files if file.content.strip() for oid in _oids(file.content)}
    existing, tree = base.existing(by_oid), base.tree()
    seen = {by_oid[entry.oid] for entry in tree if entry.oid in existing}
    secret = [file for file in dict.fromkeys(by_oid.values()) if file not in seen]
    if by_oid and not secret:
        raise UsageError(
            f"`hidden` names {folder}, all of whose files {source.base_name} has: agents find them there",
            cure="hide tests that agents do not have, or `protect` those that they have",
        )
    if source.history != "full":
        return ()
    past = _Past(folder, source, base, frozenset(entry.path for entry in tree))
    tests = {file for file in secret if _is_test(file, commands)}
    alike = base.reached({oid for oid in existing if by_oid[oid] in secret})
    return (*past.alike({by_oid[oid]: path for oid, path in alike.items()}, tests), *past.once(tests))


def _oids(content: bytes) -> tuple[str, ...]:
    """What git calls a file that says this, with the ends that lines have on Unix and on Windows."""
    plain = content.replace(b"\r\n", b"\n")
    return tuple(
        oid_of("blob", body) for body in dict.fromkeys((content, plain, plain.replace(b"\n", b"\r\n")))
    )


def _is_test(file: HiddenFile, commands: tuple[str, ...]) -> bool:
    """Whether a file holds tests, or is what a check runs."""
    if any(is_run(os.fsencode(file.path), command, is_program=file.is_program) for command in commands):
        return True
    return holds_tests(file.path, file.content)


@dataclass(frozen=True)
class _Past:
    """What the history that agents are given holds of hidden files."""

    folder: Path
    source: Source
    base: BaseStore
    now: frozenset[bytes]

    def alike(self, found: dict[HiddenFile, bytes], tests: Collection[HiddenFile]) -> Iterator[str]:
        """Files that say the same.

        Raises:
            UsageError: One of them is a test.
        """
        for file in sorted(found, key=lambda one: (one not in tests, one.path)):
            as_ = found[file].decode(errors="replace")
            said = f"{file.path} agents find in the history of {self.source.base_name}, as {as_}"
            if file in tests:
                raise UsageError(f"`hidden` names {self.folder}, whose {said}", cure=_WITHOUT_PAST)
            yield f"of the hidden {self.folder}, {said}: if it tells of the tests, {_WITHOUT_PAST}"

    def once(self, tests: Iterable[HiddenFile]) -> Iterator[str]:
        """Tests in whose places there were others once, which may be much like them."""
        paths = sorted(file.path for file in tests if os.fsencode(file.path) not in self.now)[:LOOKED_UP]
        name = self.base.ever_had(*paths) if paths else None
        if name is None:
            return
        yield (
            f"the history of {self.source.base_name} has had a {name}, like the hidden {self.folder}: agents"
            f" may find tests much like it there; {_WITHOUT_PAST}"
        )


def _not_given(folder: Path, inside: str, base: BaseStore, source: Source) -> None:
    """See that a path of the repository is in nothing that an agent is given."""
    if base.has(inside):
        raise UsageError(
            f"`hidden` names {folder}, which is a part of {source.base_name}: agents find it there",
            cure="keep it out of the repository, or ignored by git",
        )
    if source.history == "full" and base.ever_had(inside):
        raise UsageError(
            f"`hidden` names {folder}, which the history of {source.base_name} holds: agents find it there",
            cure=_WITHOUT_PAST,
        )
    for path in source.include:
        if path == inside or path.startswith(f"{inside}/") or inside.startswith(f"{path}/"):
            raise UsageError(
                f"`include` gives agents {path}, which `hidden` hides", cure="take one of them out"
            )


def _inside(folder: Path, source: Source) -> str | None:
    """The path of a directory in the repository; None if it lies elsewhere."""
    try:
        return folder.resolve().relative_to(Path(source.repo).resolve()).as_posix()
    except ValueError:
        return None


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
