"""What verification adds to running a check by hand, in the same image, with the same limits.

By hand: a worktree of the branch that the host's git checks out, and `docker run --rm` with it mounted. In
Corral: from the instant that the branch is there until the check's result is. Taken in turn.
"""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from statistics import median
from typing import Any

import yaml

from bench.running import COMMAND, IDENTITY, LIMITS, events, prepared_image, repository, task_file

FILES = 2000
CHECKS = {"a check of no time": "test -e new.txt", "a check of five seconds": "test -e new.txt && sleep 5"}


def show(folder: Path, pairs: int) -> None:
    """Measure and print."""
    repo = _large(repository(folder / "repo"))
    state = folder / "state"
    image = prepared_image(task_file(folder / "warm.yaml", repo, 1), state)
    print(f"image {image[7:19]}; {FILES} files, {pairs} pairs", flush=True)
    for what, check in CHECKS.items():
        hand, once, thrice = [], [], []
        for number in range(pairs):
            file = folder / f"{number}.yaml"
            once.append(_verified(_file(file, repo, check, base=False), state))
            thrice.append(_verified(_file(file, repo, check, base=True), state))
            hand.append(_by_hand(repo, image, check, folder / f"tree-{number}"))
        added = median(a - b for a, b in zip(once, hand, strict=True))
        print(
            f"{what}: by hand {median(hand):.2f} s, once in Corral {median(once):.2f} s"
            f" ({added:+.2f} s; ratio {median(a / b for a, b in zip(once, hand, strict=True)):.2f});"
            f" on the base, and twice on the work: {median(thrice):.2f} s",
            flush=True,
        )


def _large(repo: Path) -> Path:
    for number in range(FILES):
        path = repo / f"d{number % 50}" / f"f{number}"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"{number}\n" * 50)
    subprocess.run(["git", "add", "-A"], cwd=repo, check=True)
    subprocess.run(["git", *IDENTITY, "commit", "-q", "-m", "files"], cwd=repo, check=True)
    return repo


def _file(file: Path, repo: Path, check: str, *, base: bool) -> Path:
    text = {
        "repo": str(repo),
        "limits": LIMITS,
        "agents": {"write": {"cli": "command", "run": COMMAND}},
        "tasks": [{"id": "t", "check": check, "check_base": base}],
    }
    file.write_text(yaml.safe_dump(text))
    return file


def _verified(file: Path, state: Path) -> float:
    told: dict[str, Any] = {event["kind"]: event for event in events(file, state)}
    if told["attempt.checked"]["check"] != "passed":
        raise AssertionError(f"the check did not pass: {told['attempt.checked']}")
    return float(told["attempt.checked"]["at"] - told["attempt.gathered"]["at"])


def _by_hand(repo: Path, image: str, check: str, tree: Path) -> float:
    listed = subprocess.run(
        ["git", "for-each-ref", "--format=%(refname)", "--count=1", "refs/heads/corral"],
        cwd=repo,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    begun = time.monotonic()
    subprocess.run(["git", "worktree", "add", "-q", "--detach", tree, listed], cwd=repo, check=True)
    subprocess.run(
        [
            *("docker", "run", "--rm", "--network", "none", "--init", "--memory", "256m", "--cpus", "1"),
            *("--pids-limit", "128", "--entrypoint", "", "--volume", f"{tree}:/workspace"),
            *("--workdir", "/workspace", image, "sh", "-c", check),
        ],
        check=True,
    )
    taken = time.monotonic() - begun
    subprocess.run(["git", "worktree", "remove", "--force", tree], cwd=repo, check=True)
    return taken
