"""`make bench`: what Corral adds to a bare container, and what a run costs the host.

    python -m bench [--attempts N] [--boundary | --gateway | --supervisor | --conflicts | --statistics
                     | --verifying]
                    [--json FILE]

Each figure stands beside the engine's own in the same run: an attempt that writes one file (workspace,
container, gathering, branch, cleaning) against `docker run --rm` of the same image and command with the
same limits, taken in turn; then twenty attempts with four at once against twenty bare containers with
four at once.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import psutil

from bench import boundary, comparing, gateway, paging, supervisor, together, verifying
from bench.running import COMMAND, CORRAL, attempt_seconds, environment, prepared_image, repository, task_file

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
    options.add_argument(
        "--boundary", action="store_true", help="what the boundary costs, on large repositories"
    )
    options.add_argument(
        "--gateway", action="store_true", help="what the gateway adds to a model's answers, beside LiteLLM"
    )
    options.add_argument(
        "--supervisor", action="store_true", help="what a night costs its supervisor, and how fast it is"
    )
    options.add_argument(
        "--conflicts", action="store_true", help="how long foreseeing conflicts takes, by number of branches"
    )
    options.add_argument(
        "--verifying", action="store_true", help="what verification adds to a check that is run by hand"
    )
    options.add_argument(
        "--statistics", action="store_true", help="whether comparisons say what they claim, simulated"
    )
    options.add_argument("--page", action="store_true", help="how long the report's page takes, by branches")
    options.add_argument("--nights", type=int, default=1000, help="comparisons to simulate (default 1000)")
    options.add_argument("--json", type=Path, help="also write the figures to this file")
    chosen = options.parse_args()
    if chosen.statistics:
        comparing.show(chosen.nights)
        return
    if chosen.page:
        paging.show()
        return
    with tempfile.TemporaryDirectory(prefix="corral-bench-") as folder:
        if chosen.boundary:
            boundary.show(Path(folder), chosen.attempts)
            return
        if chosen.gateway:
            gateway.show(Path(folder))
            return
        if chosen.supervisor:
            supervisor.show(Path(folder))
            return
        if chosen.verifying:
            verifying.show(Path(folder), chosen.attempts)
            return
        if chosen.conflicts:
            together.show(Path(folder))
            return
        figures = measure(Path(folder), chosen.attempts)
    print(words(figures))
    if chosen.json is not None:
        chosen.json.write_text(json.dumps(asdict(figures), indent=2) + "\n")


def measure(folder: Path, pairs: int) -> Figures:
    """All measurements, with repositories and state below `folder`."""
    repo = repository(folder / "repo")
    state = folder / "state"
    image = prepared_image(task_file(folder / "warm.yaml", repo, 1), state)
    print(f"image {image[7:19]}; {pairs} pairs, then {TASKS} attempts, {AT_ONCE} at once", flush=True)
    bare, attempts = [], []
    for number in range(pairs):
        bare.append(_bare(image))
        attempts.append(attempt_seconds(task_file(folder / f"one-{number}.yaml", repo, 1), state))
    bare_rate = _bare_rate(image)
    rate, memory = _attempt_rate(task_file(folder / "many.yaml", repo, TASKS), state)
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


def _bare_rate(image: str) -> float:
    begun = time.monotonic()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(_bare, [image] * TASKS))
    return TASKS / (time.monotonic() - begun)


def _attempt_rate(file: Path, state: Path) -> tuple[float, int]:
    """Attempts a second from the first start to the last verdict, and the supervisor's peak memory."""
    process = subprocess.Popen(
        [*CORRAL, "run", str(file), "--json", "--jobs", str(AT_ONCE)],
        env=environment(state),
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


if __name__ == "__main__":
    main()
