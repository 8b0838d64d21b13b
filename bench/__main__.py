"""`make bench`: what Corral adds to a bare container, and what a run costs the host.

    python -m bench [--attempts N] [--json FILE]

Each figure stands beside the engine's own in the same run: an attempt that writes one file (workspace,
container, gathering, branch, cleaning) against `docker run --rm` of the same image and command with the
same limits, taken in turn; then twenty attempts with four at once against twenty bare containers with
four at once.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import psutil
import yaml

CORRAL = [sys.executable, "-m", "runner"]
COMMAND = "echo hello > new.txt"
LIMITS = {"cpus": 1, "memory": "256MiB", "pids": 128}
TASKS = 20
AT_ONCE = 4


@dataclass(frozen=True)
class Figures:
    """What was measured. Times are seconds, memory is bytes."""

    bare: tuple[float, ...]
    attempts: tuple[float, ...]
    ratio_median: float
    bare_per_second: float
    attempts_per_second: float
    throughput_ratio: float
    supervisor_peak_rss: int


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(prog="bench", description="Measure what Corral adds.")
    options.add_argument("--attempts", type=int, default=10, help="pairs for the overhead (default 10)")
    options.add_argument("--json", type=Path, help="also write the figures to this file")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="corral-bench-") as folder:
        figures = measure(Path(folder), chosen.attempts)
    print(words(figures))
    if chosen.json is not None:
        chosen.json.write_text(json.dumps(asdict(figures), indent=2) + "\n")


def measure(folder: Path, pairs: int) -> Figures:
    """All measurements, with repositories and state below `folder`."""
    repo = _repository(folder / "repo")
    state = folder / "state"
    image = _image(_task_file(folder / "warm.yaml", repo, 1), state)
    print(f"image {image[7:19]}; {pairs} pairs, then {TASKS} attempts, {AT_ONCE} at once", flush=True)
    bare, attempts = [], []
    for number in range(pairs):
        bare.append(_bare(image))
        attempts.append(_attempt_seconds(_task_file(folder / f"one-{number}.yaml", repo, 1), state))
    bare_rate = _bare_rate(image)
    rate, memory = _attempt_rate(_task_file(folder / "many.yaml", repo, TASKS), state)
    shutil.rmtree(state, ignore_errors=True)
    return Figures(
        bare=tuple(bare),
        attempts=tuple(attempts),
        ratio_median=median(a / b for a, b in zip(attempts, bare, strict=True)),
        bare_per_second=bare_rate,
        attempts_per_second=rate,
        throughput_ratio=rate / bare_rate,
        supervisor_peak_rss=memory,
    )


def words(figures: Figures) -> str:
    """The figures as a person reads them."""
    return "\n".join(
        (
            (
                f"one attempt / bare docker run: median ratio {figures.ratio_median:.2f} "
                f"(medians {median(figures.attempts):.3f} s and {median(figures.bare):.3f} s)"
            ),
            (
                f"{TASKS} attempts, {AT_ONCE} at once: {figures.attempts_per_second:.2f} a second; bare "
                f"{figures.bare_per_second:.2f}; ratio {figures.throughput_ratio:.2f}"
            ),
            f"supervisor: peak resident memory {figures.supervisor_peak_rss / 1024**2:.0f} MiB",
        )
    )


def _repository(folder: Path) -> Path:
    folder.mkdir()
    identity = ("-c", "user.name=Bench", "-c", "user.email=bench@example.invalid")
    for arguments in (("init", "-q"), ("commit", "-q", "--allow-empty", "-m", "first")):
        subprocess.run(["git", *identity, *arguments], cwd=folder, check=True)
    return folder


def _task_file(file: Path, repo: Path, tasks: int) -> Path:
    text = {
        "repo": str(repo),
        "limits": LIMITS,
        "agents": {"write": {"cli": "command", "run": COMMAND}},
        "tasks": [{"id": f"t{number}"} for number in range(tasks)],
    }
    file.write_text(yaml.safe_dump(text))
    return file


def _environment(state: Path) -> dict[str, str]:
    return {**os.environ, "CORRAL_HOME": str(state)}


def _image(file: Path, state: Path) -> str:
    """Build the image and run once, so that nothing is made for the first time while measuring."""
    _events(file, state)
    listing = subprocess.run(
        [*CORRAL, "image", "build", str(file)],
        env=_environment(state),
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return listing.split()[-1]


def _bare(image: str) -> float:
    begun = time.monotonic()
    subprocess.run(
        [
            *("docker", "run", "--rm", "--network", "none", "--init", "--memory", "256m", "--cpus", "1"),
            *("--pids-limit", "128", "--entrypoint", "", image, "sh", "-c", COMMAND),
        ],
        check=True,
    )
    return time.monotonic() - begun


def _attempt_seconds(file: Path, state: Path) -> float:
    """From an attempt's start to its verdict, nothing of it left."""
    at = {event["kind"]: event["at"] for event in _events(file, state) if "at" in event}
    return float(at["attempt.final"] - at["attempt.started"])


def _bare_rate(image: str) -> float:
    begun = time.monotonic()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(_bare, [image] * TASKS))
    return TASKS / (time.monotonic() - begun)


def _attempt_rate(file: Path, state: Path) -> tuple[float, int]:
    """Attempts a second from the first start to the last verdict, and the supervisor's peak memory."""
    process = subprocess.Popen(
        [*CORRAL, "run", str(file), "--json", "--jobs", str(AT_ONCE)],
        env=_environment(state),
        stdout=subprocess.PIPE,
        text=True,
    )
    peak = [0]
    watcher = threading.Thread(target=_watch_memory, args=(process.pid, peak))
    watcher.start()
    with process:
        if process.stdout is None:
            raise AssertionError("standard output is a pipe")
        events = [json.loads(line) for line in process.stdout]
    watcher.join()
    starts = [event["at"] for event in events if event["kind"] == "attempt.started"]
    ends = [event["at"] for event in events if event["kind"] == "attempt.final"]
    return len(ends) / (max(ends) - min(starts)), peak[0]


def _watch_memory(pid: int, peak: list[int]) -> None:
    try:
        process = psutil.Process(pid)
        while True:
            peak[0] = max(peak[0], process.memory_info().rss)
            time.sleep(0.05)
    except psutil.Error:
        return


def _events(file: Path, state: Path) -> list[dict[str, Any]]:
    done = subprocess.run(
        [*CORRAL, "run", str(file), "--json"],
        env=_environment(state),
        check=True,
        capture_output=True,
        text=True,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


if __name__ == "__main__":
    main()
