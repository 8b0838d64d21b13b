"""A run under way, for tests that interrupt, kill or resume it."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from runner.sandbox.engine import Engine
from tests.support import Corral


class Live:
    """A run under way, heard through its events."""

    def __init__(self, process: subprocess.Popen[str], environment: Mapping[str, str]) -> None:
        self.process = process
        self._environment = environment
        self.events: list[dict[str, Any]] = []
        self._lines = self._read()

    def until(self, kind: str, times: int = 1) -> None:
        """Listen until this kind of event happened so many times."""
        while self.count(kind) < times:
            event = next(self._lines, None)
            assert event is not None, f"it ended: {self.process.communicate()[1]}"
            self.events.append(event)

    def until_said(self, words: str, times: int = 1) -> None:
        """Listen until so many attempts run, and wait until all of their boxes have printed these words.

        An attempt runs as soon as its container does. What its command does comes after that, on a busy
        host long after.
        """
        self.until("attempt.running", times)
        with Engine(self._environment) as engine:
            for attempt, container in self.boxes().items():
                said = (out or b"" for out, _ in engine.follow(container))
                assert any(words.encode() in out for out in said), f"{attempt} ended without a word"

    def boxes(self) -> dict[str, str]:
        """The container of each attempt that was heard to run."""
        return {e["attempt"]: e["container"] for e in self.events if e["kind"] == "attempt.running"}

    def count(self, kind: str) -> int:
        """How many events of a kind were heard."""
        return sum(event["kind"] == kind for event in self.events)

    def end(self) -> int:
        """Listen to the end; returns the exit code."""
        self.events.extend(self._lines)
        _, complaints = self.process.communicate(timeout=60)
        assert "Traceback" not in complaints, complaints
        return self.process.returncode

    def stop(self) -> int:
        """Interrupt the command twice; returns the exit code.

        Two signals at once are one to the kernel: the second is sent when the first was heeded.
        """
        self.process.send_signal(signal.SIGINT)
        self.until("run.draining")
        self.process.send_signal(signal.SIGINT)
        return self.end()

    def kill(self) -> None:
        """Kill the command, as a crash would."""
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate(timeout=60)

    def rows(self) -> dict[str, dict[str, Any]]:
        """The summary's row of each task's last try."""
        assert self.events[-1]["kind"] == "run.summary"
        return {row["task"]: row for row in self.events[-1]["attempts"]}

    def _read(self) -> Iterator[dict[str, Any]]:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            yield json.loads(line)


@contextmanager
def living(corral: Corral, *arguments: str | Path) -> Iterator[Live]:
    """A command that prints events; it is killed on leaving if it still runs."""
    live = Live(corral.start(*arguments, "--json"), corral.environment)
    try:
        yield live
    finally:
        if live.process.poll() is None:
            live.kill()


def gateway_processes(home: Path) -> list[int]:
    """The gateway's processes of this state directory."""
    return [
        process.info["pid"]
        for process in psutil.process_iter(["pid", "cmdline"])
        if str(home) in (process.info["cmdline"] or [])
    ]
