"""What it takes to foresee conflicts, beside one `git merge-tree` for each pair of branches.

The repository is made up: a thousand files, and branches that each change a few places in four of them. Some
files are changed by many, as in real ones, so that some tens of pairs in a hundred branches share one.
"""

from __future__ import annotations

import random
import shutil
import subprocess
import time
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

from runner.gather.conflicts import Branch, Matrix, meet
from runner.git.merging import prepare

BRANCHES = (20, 200, 1000)
FOLDERS, FILES, LINES = 40, 25, 200
CHANGED = 4
"""Files that a branch changes."""
SAMPLE = 400
"""Pairs merged one by one; the time of all pairs follows from theirs."""


def show(folder: Path) -> None:
    """Measure, and print as it goes."""
    for count in BRANCHES:
        repo = _repository(folder / f"{count}.git", count)
        base, *tips = _tips(repo, count)
        branches = [Branch(f"t{number}/p/1", tip) for number, tip in enumerate(tips)]
        began = time.monotonic()
        matrix = meet(prepare(folder / "q", repo), base, branches).matrix
        took = time.monotonic() - began
        one_by_one = _one_by_one(repo, tips)
        print(_words(count, matrix, took, one_by_one), flush=True)
        shutil.rmtree(folder / "q")


def _words(count: int, matrix: Matrix, took: float, one_by_one: float) -> str:
    pairs = count * (count - 1) // 2
    conflicts = sum(one.kind == "conflict" for one in matrix.meetings)
    shared = len(matrix.meetings)
    return (
        f"{count:,} branches, {pairs:,} pairs: {shared:,} share a file, {conflicts:,} conflict; "
        f"{took:.2f} s, one `git merge-tree` a pair {one_by_one:.1f} s: ratio {took / one_by_one:.3f}"
    )


def _one_by_one(repo: Path, tips: list[str]) -> float:
    """Seconds that a loop over all pairs would take."""
    pairs = list(combinations(tips, 2))
    chance = random.Random(0)  # noqa: S311 - the same ones each time
    some = chance.sample(pairs, min(SAMPLE, len(pairs)))
    scratch = repo.with_suffix(".scratch")
    environment = {
        "PATH": "/usr/bin:/bin",
        "GIT_OBJECT_DIRECTORY": str(scratch),
        "GIT_ALTERNATE_OBJECT_DIRECTORIES": str(repo / "objects"),
    }
    scratch.mkdir()
    began = time.monotonic()
    for ours, theirs in some:
        command = ["git", f"--git-dir={repo}", "merge-tree", "--write-tree", "--name-only", ours, theirs]
        done = subprocess.run(command, check=False, capture_output=True, env=environment)
        if done.returncode > 1:
            raise RuntimeError(done.stderr.decode(errors="replace"))
    return (time.monotonic() - began) / len(some) * len(pairs)


def _repository(place: Path, count: int) -> Path:
    subprocess.run(["git", "init", "--quiet", "--bare", str(place)], check=True)
    chance = random.Random(1)  # noqa: S311 - the same branches each time
    stream = "".join(_commits(chance, count)).encode()
    command = ["git", f"--git-dir={place}", "fast-import", "--quiet"]
    subprocess.run(command, input=stream, check=True)
    return place


def _commits(chance: random.Random, count: int) -> Iterator[str]:
    yield _commit("base", None)
    for number in range(FOLDERS * FILES):
        yield _file(*divmod(number, FILES), _lines(number))
    for branch in range(count):
        yield _commit(f"b{branch}", "base")
        for _ in range(CHANGED):
            folder = chance.randrange(FOLDERS)
            file = min(int(chance.expovariate(0.3)), FILES - 1)  # a few files are everybody's
            lines = _lines(folder * FILES + file)
            lines[chance.randrange(LINES)] = f"changed by {branch}"
            yield _file(folder, file, lines)


def _commit(name: str, parent: str | None) -> str:
    head = f"commit refs/heads/{name}\ncommitter B <b@b> 1700000000 +0000\ndata 1\nx\n"
    return head if parent is None else f"{head}from refs/heads/{parent}\n"


def _lines(number: int) -> list[str]:
    return [f"line {number} {line}" for line in range(LINES)]


def _file(folder: int, file: int, lines: list[str]) -> str:
    text = "\n".join(lines) + "\n"
    return f"M 100644 inline src/m{folder}/f{file}.py\ndata {len(text)}\n{text}\n"


def _tips(repo: Path, count: int) -> list[str]:
    names = ["base", *(f"b{number}" for number in range(count))]
    command = ["git", f"--git-dir={repo}", "rev-parse", *names]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
