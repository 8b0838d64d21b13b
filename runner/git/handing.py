"""Handing commits of a repository on, as files that a box can read: bundles and differences."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from runner.git import closed

CHUNK = 64 * 1024


def write_bundle(
    git_dir: Path, file: Path, heads: Mapping[str, str], base: str, most: int, *, shallow: bool = False
) -> bool:
    """Write commits as a bundle, from which `git fetch` takes them; returns whether it is whole.

    A bundle is a file, so that it does not matter whose it is: git takes nothing from repositories of others.
    Its form is that of version 2 (`git help gitformat-bundle`); thin, since who fetches has the base.

    Args:
        git_dir: Where the commits are.
        file: The file to write; it is not there if the bundle would be larger than it may be.
        heads: The commits by the names of branches, which they get in the bundle.
        base: The commit that whoever fetches has, with all that is in it.
        most: Bytes that the bundle may have.
        shallow: Whether whoever fetches has nothing from before the base.

    Raises:
        GitError: A commit is not there, or git failed.
    """
    return _write_bundle(git_dir, file, heads, (base,), most, shallow=shallow)


def write_lasting_bundle(git_dir: Path, file: Path, heads: Mapping[str, str], there: Sequence[str]) -> None:
    """Write commits as a bundle of any size, for good.

    Args:
        git_dir: Where the commits are.
        file: The file to write.
        heads: The commits by the names of branches, which they get in the bundle.
        there: Commits that whoever fetches has, with all that is in them; of none, the bundle needs nothing.

    Raises:
        GitError: A commit is not there, or git failed.
    """
    _write_bundle(git_dir, file, heads, there, sys.maxsize, bounds=closed.WHOLE_HISTORY)


def _write_bundle(
    git_dir: Path,
    file: Path,
    heads: Mapping[str, str],
    there: Sequence[str],
    most: int,
    *,
    shallow: bool = False,
    bounds: closed.Bounds = closed.DEFAULT,
) -> bool:
    header = [
        "# v2 git bundle\n",
        *(f"-{oid} base\n" for oid in there),
        *(f"{oid} refs/heads/{name}\n" for name, oid in heads.items()),
    ]
    wanted = [f"--shallow {oid}\n" for oid in there] if shallow else []
    wanted += [f"{oid}\n" for oid in dict.fromkeys(heads.values())] + [f"^{oid}\n" for oid in there]
    for oid in dict.fromkeys(heads.values()):
        closed.git(git_dir, "cat-file", "-e", f"{oid}^{{commit}}")
    with file.open("wb") as target:
        target.write("".join((*header, "\n")).encode())
        whole = _stream(git_dir, target, most, *PACK, stdin="".join(wanted).encode(), bounds=bounds)
    if not whole:
        file.unlink()
    return whole


PACK = ("pack-objects", "-q", "--revs", "--thin", "--stdout", "--delta-base-offset")


def write_diff(git_dir: Path, file: Path, base: str, commit: str, most: int, *, stat: bool = False) -> bool:
    """Write the difference between two commits; returns whether all of it, or only its beginning.

    Raises:
        GitError: A commit is not there, or git failed.
    """
    form = "--stat=100" if stat else "--patch"
    safe = ("--no-ext-diff", "--no-textconv", "--no-renames", "--no-color")
    for oid in (base, commit):
        closed.git(git_dir, "cat-file", "-e", f"{oid}^{{commit}}")
    with file.open("wb") as target:
        return _stream(git_dir, target, most, "diff-tree", "-r", form, *safe, base, commit)


def _stream(
    git_dir: Path,
    target: IO[bytes],
    most: int,
    *command: str,
    stdin: bytes = b"",
    bounds: closed.Bounds = closed.DEFAULT,
) -> bool:
    """Write what a git command prints, up to a bound; returns whether that was all of it."""
    size = 0
    with closed.streaming(git_dir, *command, stdin=True, bounds=bounds) as process:
        if process.stdin is None or process.stdout is None:
            raise AssertionError("both ends are pipes")
        process.stdin.write(stdin)
        process.stdin.close()
        while chunk := process.stdout.read(CHUNK):
            target.write(chunk[: max(0, most - size)])
            size += len(chunk)
            if size > most:
                return False
        if process.wait() != 0:
            raise closed.GitError(command[0], process.returncode, "what is handed on could not be read")
    return True
