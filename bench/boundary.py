"""What the boundary costs an attempt, against the same work without it, and on what that depends.

Without it: a worktree checked out on the host, the same image with the same limits over it, a commit made
by the host's git, and the worktree removed. The repositories differ in one thing each: nothing, a long
history, and many files.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

from bench.running import COMMAND, IDENTITY, attempt_seconds, prepared_image, repository, task_file

COMMITS = 170_000
"""Each adds a commit, a tree and a blob: more than 500,000 objects."""
FILES = 50_000


def show(folder: Path, pairs: int) -> None:
    """Measure on each repository in turn, and print as it goes."""
    kinds: dict[str, Callable[[Path], Path]] = {
        "one empty commit": repository,
        f"{3 * COMMITS:,} objects": _long,
        f"{FILES:,} files": _wide,
    }
    for number, (kind, make) in enumerate(kinds.items()):
        place = folder / str(number)
        place.mkdir()
        repo, state = make(place / "repo"), place / "state"
        begun = time.monotonic()
        image = prepared_image(task_file(place / "warm.yaml", repo, 1), state)
        first = time.monotonic() - begun
        with_it, without = [], []
        for pair in range(pairs):
            without.append(_without(repo, place / f"tree-{pair}", image))
            with_it.append(attempt_seconds(task_file(place / f"{pair}.yaml", repo, 1), state))
        cost = median(a - b for a, b in zip(with_it, without, strict=True))
        print(
            f"{kind}: {cost:+.3f} s (medians {median(with_it):.3f} s with, {median(without):.3f} s without; "
            f"first run with its images and base store {first:.1f} s)",
            flush=True,
        )


def _without(repo: Path, tree: Path, image: str) -> float:
    begun = time.monotonic()
    _git(repo, "worktree", "add", "-q", "-b", tree.name, str(tree))
    subprocess.run(
        [
            *("docker", "run", "--rm", "--network", "none", "--init", "--memory", "256m", "--cpus", "1"),
            *("--pids-limit", "128", "--entrypoint", "", "--mount", f"type=bind,src={tree},dst=/workspace"),
            *(image, "sh", "-c", f"cd /workspace && {COMMAND}"),
        ],
        check=True,
    )
    _git(tree, "add", "--all")
    _git(tree, "commit", "-q", "-m", "work")
    _git(repo, "worktree", "remove", "--force", str(tree))
    return time.monotonic() - begun


def _git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", *IDENTITY, *arguments], cwd=folder, check=True)


def _long(folder: Path) -> Path:
    """A repository of few files and a long history."""

    def history() -> Iterator[str]:
        for number in range(COMMITS):
            name, text = f"f{number % 20}.txt", f"{number}\n"
            at = 1_700_000_000 + number
            yield f"commit refs/heads/main\ncommitter B <b@example.invalid> {at} +0000\ndata 1\nx\n"
            yield f"M 100644 inline {name}\ndata {len(text)}\n{text}\n"

    return _imported(folder, history())


def _wide(folder: Path) -> Path:
    """A repository of one commit with many files."""

    def files() -> Iterator[str]:
        yield "commit refs/heads/main\ncommitter B <b@example.invalid> 1700000000 +0000\ndata 1\nx\n"
        for number in range(FILES):
            text = f"file {number}\n" * 20
            yield f"M 100644 inline d{number // 500}/f{number}.txt\ndata {len(text)}\n{text}\n"

    return _imported(folder, files())


def _imported(folder: Path, stream: Iterator[str]) -> Path:
    folder.mkdir()
    _git(folder, "init", "-q", "--initial-branch=main")
    with subprocess.Popen(
        ["git", "fast-import", "--quiet"], cwd=folder, stdin=subprocess.PIPE, text=True
    ) as process:
        if process.stdin is None:
            raise AssertionError("standard input is a pipe")
        process.stdin.writelines(stream)
    if process.returncode != 0:
        raise RuntimeError("the repository could not be made")
    _git(folder, "checkout", "-q", "main")
    return folder
