"""What a night costs its supervisor, and how fast it is where somebody waits for it.

Living boxes sleep: what is measured is the watch over them. The machine's other load is in the figures.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import psutil
import yaml

from bench.running import CORRAL, environment, prepared_image, repository, task_file
from runner.names import AttemptKey
from runner.supervisor import events as e
from runner.supervisor.graph.schedule import Agenda
from runner.supervisor.journal import Journal
from runner.supervisor.ownership.lease import owned
from runner.supervisor.state import apply, begin
from runner.tasks.plan import CommandSettings, Plan, PlannedAttempt, Profile, Source, Task

LIVING = (1, 10, 50)
CROWD = 1000
WINDOW = 20.0
"""Seconds over which processor time is counted."""
QUEUED = 10_000
AT_ONCE = 50
APPENDS = 500
EXITS = 20


def show(folder: Path) -> None:
    """Measure everything in turn, and print as it goes."""
    _say(_scheduling())
    _say(_appends(folder / "journal"))
    repo = repository(folder / "repo")
    state = folder / "state"
    prepared_image(task_file(folder / "warm.yaml", repo, 1), state)
    _say(_exits(folder, repo, state))
    for boxes in LIVING:
        _say(_living(folder, repo, state, boxes))
    _say(_crowd())


def _say(line: str) -> None:
    print(line, flush=True)


# -- pure


def _scheduling() -> str:
    """Start and end every attempt of a large plan, fifty at once, deciding after each event."""
    tasks = tuple(f"t{number}" for number in range(QUEUED))
    plan = Plan(
        run="r",
        file="/nonexistent",
        sources=(Source(repo="/nonexistent", git_dir="/nonexistent", base="a" * 40, base_name="HEAD"),),
        profiles=(Profile(name="p", settings=CommandSettings(run=("true",)), hash="p"),),
        tasks=tuple(Task(id=task) for task in tasks),
        attempts=tuple(
            PlannedAttempt(task=task, profile="p", after=((f"{tasks[n - 1]}/p/1",),) if n % 2 else ())
            for n, task in enumerate(tasks)
        ),
    )
    order: list[AttemptKey] = []
    both = _processor(lambda: order.extend(_through(plan, None)))
    folding = _processor(lambda: _through(plan, order))
    return (
        f"scheduling, {QUEUED:,} attempts queued, half of them needing another: "
        f"{(both - folding) / QUEUED * 1e6:.0f} µs an attempt; "
        f"folding an event: {folding / QUEUED / len(_life(order[0])) * 1e6:.0f} µs (processor time)"
    )


def _through(plan: Plan, order: list[AttemptKey] | None) -> list[AttemptKey]:
    """Live all attempts of a plan; returns in which order they were started, which may also be given."""
    state = apply(
        begin("r", e.RunStarted(at=1, plan=plan, jobs=AT_ONCE)),
        e.ImageReady(at=1, source=0, cli=None, image="i"),
    )
    agenda = Agenda(state) if order is None else None
    started: list[AttemptKey] = []

    def due() -> list[AttemptKey]:
        if agenda is None or order is not None:
            return (order or [])[len(started) : len(ended) + AT_ONCE]
        agenda.follow(state)
        return [decision.key for decision in agenda.due(AT_ONCE)]

    ended: list[AttemptKey] = []
    while len(ended) < QUEUED:
        for key in due():
            state = apply(state, _life(key)[0])
            started.append(key)
        last = started[len(ended)]
        for event in _life(last)[1:]:
            state = apply(state, event)
            due()
        ended.append(last)
    return started


def _processor(do: Callable[[], object]) -> float:
    """Seconds of the processor that something takes: another program's are not in it."""
    began = time.process_time()
    do()
    return time.process_time() - began


def _life(key: AttemptKey) -> list[e.Event]:
    name = str(key)
    return [
        e.AttemptStarted(at=2, attempt=name, box="0" * 12, base="a" * 40),
        e.BoxStarted(at=3, attempt=name, container="c"),
        e.AttemptEnded(at=4, attempt=name, ended="exited"),
        e.AttemptGathered(at=5, attempt=name, work="gathered", commit="b" * 40),
        e.AttemptChecked(at=6, attempt=name, check="passed"),
        e.AttemptFinal(at=7, attempt=name, verdict="accepted"),
    ]


# -- the journal


def _appends(home: Path) -> str:
    """Events written one after the other, each durable before the next, as the loop does it."""
    home.mkdir()
    event = _life(AttemptKey("task", "profile"))[2]
    with Journal(home / "journal.db") as journal, owned(journal, home, "r") as lease:
        began = time.perf_counter()
        for _ in range(APPENDS):
            journal.append("r", event, lease.token)
        seconds = time.perf_counter() - began
    return f"journal: {APPENDS / seconds:,.0f} durable appends a second, one after the other"


# -- with real containers


def _exits(folder: Path, repo: Path, state: Path) -> str:
    """From the last thing that an agent did, by the box's clock, which is the host's, to its branch."""
    file = _tasks(folder / "exits.yaml", repo, EXITS, "echo hello > new.txt; date +%s.%N")
    events = _heard(file, state, "--jobs", "1", "--name", "exits")
    logs = state / "runs" / "exits" / "logs"
    took = []
    for event in events:
        if event["kind"] == "attempt.gathered":
            log = logs / f"{event['attempt'].replace('/', '+')}.log"
            took.append(event["at"] - float(log.read_text().split()[-1]))
    return f"from an agent's exit to its branch: median {median(took):.3f} s, longest {max(took):.3f} s"


def _living(folder: Path, repo: Path, state: Path, boxes: int) -> str:
    """What watching so many boxes costs; and how long another supervisor needs to have them all again."""
    file = _tasks(folder / f"living-{boxes}.yaml", repo, boxes, "echo begun; sleep 3600")
    name, jobs = f"living-{boxes}", str(boxes)
    with _supervisor(state, "run", str(file), "--name", name, "--jobs", jobs) as process:
        _until_running(process, boxes)
        time.sleep(3)  # what came with the starts is over
        cores, memory = _used(process.pid)
        process.send_signal(signal.SIGKILL)
        _until_ended(process)
    began = time.monotonic()
    with _supervisor(state, "resume", name, "--jobs", jobs) as process:
        _until_running(process, boxes)
        recovery = time.monotonic() - began
        for _ in range(2):  # the first lets what runs end, the second ends it
            process.send_signal(signal.SIGINT)
            time.sleep(1)
        _until_ended(process)
    return (
        f"{boxes} living: {cores * 100:.1f} % of a core, {memory / 1024**2:.0f} MiB; all watched again "
        f"{recovery:.2f} s after the start of the next supervisor"
    )


def _crowd() -> str:
    """The same with more than a machine bears, over the fake engine."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.crowd", str(CROWD), str(WINDOW)],
        check=True,
        capture_output=True,
        text=True,
    )
    figures = json.loads(done.stdout)
    return (
        f"{CROWD:,} living, simulated: {figures['cores'] * 100:.0f} % of a core, "
        f"{figures['memory'] / 1024**2:.0f} MiB, the simulation's own part included"
    )


def _tasks(file: Path, repo: Path, tasks: int, command: str) -> Path:
    text = {
        "repo": str(repo),
        "limits": {"cpus": 0.1, "memory": "32MiB", "pids": 32, "disk": "64MiB", "idle": "2h", "time": "2h"},
        "agents": {"p": {"cli": "command", "run": command}},
        "tasks": [{"id": f"t{number}"} for number in range(tasks)],
    }
    file.write_text(yaml.safe_dump(text))
    return file


@contextmanager
def _supervisor(state: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [*CORRAL, *arguments, "--json"], env=environment(state), stdout=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
            _until_ended(process)


def _until_ended(process: subprocess.Popen[str]) -> None:
    """Hear it to its end."""
    if process.stdout is not None:
        with process.stdout as told:
            told.read()
    process.wait()


def _until_running(process: subprocess.Popen[str], boxes: int) -> None:
    if process.stdout is None:
        raise AssertionError("standard output is a pipe")
    seen = set()
    for line in process.stdout:
        event: dict[str, Any] = json.loads(line)
        if event["kind"] == "attempt.running":
            seen.add(event["attempt"])
        if len(seen) == boxes:
            return
    raise RuntimeError(f"it ended with {len(seen)} of {boxes} running")


def _used(pid: int) -> tuple[float, int]:
    """Cores that a process keeps busy over a while, and its resident memory then."""
    process = psutil.Process(pid)
    before, began = process.cpu_times(), time.monotonic()
    time.sleep(WINDOW)
    after, passed = process.cpu_times(), time.monotonic() - began
    spent = (after.user + after.system) - (before.user + before.system)
    return spent / passed, process.memory_info().rss


def _heard(file: Path, state: Path, *options: str) -> list[dict[str, Any]]:
    done = subprocess.run(
        [*CORRAL, "run", str(file), "--json", *options],
        env=environment(state),
        check=True,
        capture_output=True,
        text=True,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]
