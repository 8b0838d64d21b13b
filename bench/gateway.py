"""What the gateway adds to a model's answers, beside the model itself and beside LiteLLM's pass-through.

All three are asked in turn, in the same run, by the same client: the scripted model as a process of its own,
the same through Corral's gateway over boxes' sockets, and the same through the LiteLLM proxy. Throughput is
told by the processor time of what carries the streams, since client and model share the machine with it.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles

import psutil
from pydantic import SecretStr

from bench.streams import Stream, Way, many
from runner.gateway.client import Gateway
from runner.gateway.grants import Account, Service

LITELLM = "litellm[proxy]==1.108.7"
MASTER = "sk-bench-0123456789abcdef0123456789abcdef"
BOXES = 16
LEVELS = (1, 16, 64, 256)
ROUNDS = 3
STREAMS = 512
"""Streams of each way, level and round; fewer where they go one by one."""
PAUSE = 0.02


@dataclass(frozen=True)
class Level:
    """One way at one level: medians over the rounds. Times are seconds; `cpu` is of the carrying process."""

    way: str
    at_once: int
    first_p50: float
    first_p99: float
    last_p50: float
    last_p99: float
    per_second: float
    cpu: float | None
    """Seconds of processor time for one stream."""
    rss: int | None


def show(folder: Path) -> None:
    """Measure and print."""
    with ExitStack() as stack:
        port = stack.enter_context(_model())
        ways = [
            Way("direct", port=port),
            stack.enter_context(_corral(folder, port)),
            stack.enter_context(_litellm(port)),
        ]
        print(f"{'way':10}{'at once':>8}{'first event p50/p99 ms':>26}{'whole p50/p99 ms':>24}"
              f"{'streams/s':>11}{'CPU ms each':>13}{'RSS MiB':>9}")  # fmt: skip
        for level in LEVELS:
            rows = _level(ways, level)
            for row in rows:
                print(_row(row), flush=True)
            _compare(rows)
        _flow(stack, folder)


def _level(ways: list[Way], at_once: int) -> list[Level]:
    rounds: dict[str, list[Level]] = {way.name: [] for way in ways}
    each = max(1, (STREAMS if at_once > 1 else STREAMS // 4) // at_once)
    for way in ways:
        asyncio.run(many(way, at_once, 1))  # connections, caches
    for _ in range(ROUNDS):
        for way in ways:
            rounds[way.name].append(_round(way, at_once, each))
    return [_median(rounds[way.name]) for way in ways]


def _round(way: Way, at_once: int, each: int) -> Level:
    process = None if way.pid is None else psutil.Process(way.pid)
    before = _cpu(process)
    seconds, streams = asyncio.run(many(way, at_once, each))
    after = _cpu(process)
    first, last = [s.first for s in streams], [s.last for s in streams]
    return Level(
        way.name,
        at_once,
        median(first),
        _p99(first),
        median(last),
        _p99(last),
        len(streams) / seconds,
        None if before is None or after is None else (after - before) / len(streams),
        None if process is None else process.memory_info().rss,
    )


def _median(rows: list[Level]) -> Level:
    def middle(name: str) -> float:
        return float(median(getattr(row, name) for row in rows))

    cpus = [row.cpu for row in rows if row.cpu is not None]
    sizes = [row.rss for row in rows if row.rss is not None]
    return Level(
        way=rows[0].way,
        at_once=rows[0].at_once,
        first_p50=middle("first_p50"),
        first_p99=middle("first_p99"),
        last_p50=middle("last_p50"),
        last_p99=middle("last_p99"),
        per_second=middle("per_second"),
        cpu=median(cpus) if cpus else None,
        rss=max(sizes) if sizes else None,
    )


def _p99(values: list[float]) -> float:
    return quantiles(values, n=100)[98] if len(values) > 1 else values[0]


def _cpu(process: psutil.Process | None) -> float | None:
    if process is None:
        return None
    times = process.cpu_times()
    return float(times.user + times.system)


def _row(row: Level) -> str:
    cpu = "-" if row.cpu is None else f"{row.cpu * 1e3:.2f}"
    rss = "-" if row.rss is None else f"{row.rss / 1024**2:.0f}"
    first = f"{row.first_p50 * 1e3:.2f} / {row.first_p99 * 1e3:.2f}"
    last = f"{row.last_p50 * 1e3:.2f} / {row.last_p99 * 1e3:.2f}"
    return f"{row.way:10}{row.at_once:>8}{first:>26}{last:>24}{row.per_second:>11.1f}{cpu:>13}{rss:>9}"


def _compare(rows: list[Level]) -> None:
    direct, corral, litellm = rows
    if corral.cpu and litellm.cpu:
        added = [f"{row.way} {(row.first_p50 - direct.first_p50) * 1e3:+.2f} ms" for row in (corral, litellm)]
        rates = f"{1 / corral.cpu:.0f} and {1 / litellm.cpu:.0f}, ratio {litellm.cpu / corral.cpu:.1f}"
        print(f"  added to the first event, p50: {', '.join(added)}")
        print(f"  streams for each second of processor time: {rates}\n")


def _flow(stack: ExitStack, folder: Path) -> None:
    """Whether events are passed on as they come: a stream with pauses, and the longest wait within it."""
    port = stack.enter_context(_model("--pause", str(PAUSE)))
    for way in (Way("direct", port=port), stack.enter_context(_corral(folder / "flow", port))):
        _, streams = asyncio.run(many(way, 4, 4))
        print(_flowing(way.name, streams))


def _flowing(name: str, streams: list[Stream]) -> str:
    first, longest = median(s.first for s in streams) * 1e3, median(s.longest for s in streams) * 1e3
    waits = f"first after {first:.1f} ms, longest wait {longest:.1f} ms"
    return f"events {PAUSE * 1e3:.0f} ms apart, {name}: {waits}"


# -- the processes


@contextmanager
def _model(*more: str) -> Iterator[int]:
    with _process([sys.executable, "-m", "bench.model", *more], None, subprocess.PIPE) as process:
        if process.stdout is None:
            raise AssertionError("standard output is a pipe")
        yield int(process.stdout.readline())


@contextmanager
def _corral(folder: Path, port: int) -> Iterator[Way]:
    gateway = Gateway.ensure(folder / "home", idle=1.0, environment={})
    service = Service(base_url=f"http://127.0.0.1:{port}", secret=SecretStr("sk-dummy-0123456789"))
    boxes = [f"{number:012x}" for number in range(BOXES)]
    try:
        folders = tuple(
            gateway.grant(box, service, account=Account(run="bench", attempt=box)) for box in boxes
        )
        looked = Gateway.look(folder / "home")
        yield Way("Corral", folders=folders, pid=looked[0] if looked else None)
    finally:
        for box in boxes:
            gateway.revoke(box)
        gateway.leave()


@contextmanager
def _litellm(port: int) -> Iterator[Way]:
    place = Path(".make/litellm").absolute()
    if not (place / "bin" / "litellm").exists():
        print(f"installing {LITELLM} into {place}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", str(place)], check=True)
        subprocess.run([str(place / "bin" / "pip"), "install", "--quiet", LITELLM], check=True)
    settings = place / "bench.yaml"
    settings.write_text(json.dumps({"model_list": [], "general_settings": {"master_key": MASTER}}))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        own = int(free.getsockname()[1])
    told = {
        "PATH": os.environ["PATH"],
        "HOME": str(place),
        "ANTHROPIC_API_KEY": "sk-dummy-0123456789",
        "ANTHROPIC_API_BASE": f"http://127.0.0.1:{port}",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LITELLM_LOG": "ERROR",
    }
    command = [str(place / "bin" / "litellm"), "--config", str(settings)]
    command += ["--host", "127.0.0.1", "--port", str(own), "--telemetry", "False"]
    with (place / "bench.log").open("wb") as log, _process(command, told, log) as process:
        _until_alive(f"http://127.0.0.1:{own}/health/liveliness", process)
        yield Way("LiteLLM", port=own, path="/anthropic/v1/messages", key=MASTER, pid=process.pid)


@contextmanager
def _process(
    command: list[str], env: dict[str, str] | None, output: object
) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(command, env=env, stdout=output, stderr=subprocess.STDOUT, text=True)  # type: ignore[call-overload]
    try:
        yield process
    finally:
        process.terminate()
        process.wait(timeout=20)


def _until_alive(url: str, process: subprocess.Popen[str]) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    for _ in range(600):
        if process.poll() is not None:
            raise RuntimeError("LiteLLM did not start; its log is in .make/litellm/bench.log")
        try:
            with opener.open(url, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise RuntimeError("LiteLLM did not answer")
