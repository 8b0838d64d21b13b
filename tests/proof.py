"""The tests at their full counts, over as many starts as it takes: `make proof`.

A test that passed for this commit is not run again, so a proof that was interrupted goes on where it was.
What passed stands in `proof/COMMIT.jsonl`; at the end of each start a dated result says how far it came.
"""

from __future__ import annotations

import hashlib
import json
import platform
import subprocess
import time
from pathlib import Path

import pytest

from tests.conftest import SEED

FOLDER = Path("proof")


class Proof:
    """What passed so far, for one state of the sources."""

    def __init__(self, commit: str) -> None:
        self.commit = commit
        self.file = FOLDER / f"{commit}.jsonl"
        self.passed: dict[str, float] = {}
        self.failed: list[str] = []
        self.selected = 0
        self._running: dict[str, float] = {}
        if self.file.exists():
            rows = [json.loads(line) for line in self.file.read_text().splitlines()]
            self.passed = {row["test"]: row["seconds"] for row in rows}

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Leave out what passed before."""
        self.selected = len(items)
        done = [item for item in items if item.nodeid in self.passed]
        config.hook.pytest_deselected(items=done)
        items[:] = [item for item in items if item.nodeid not in self.passed]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note a test once it has passed to its end, its cleaning up included."""
        if report.failed:
            self.failed.append(report.nodeid)
        elif report.when == "call" and report.passed:
            self._running[report.nodeid] = report.duration
        elif report.when == "teardown" and report.nodeid in self._running:
            seconds = round(self._running.pop(report.nodeid), 3)
            self.passed[report.nodeid] = seconds
            row = {"test": report.nodeid, "seconds": seconds}
            with self.file.open("a") as notes:
                notes.write(json.dumps(row) + "\n")

    def pytest_sessionfinish(self) -> None:
        """Write the dated result."""
        passed, seconds = len(self.passed), sum(self.passed.values())
        said = (
            f"{passed} of {self.selected} tests passed, {seconds:.0f} s in all; {self.selected - passed} left"
        )
        lines = [
            f"# Proof of {self.commit}",
            "",
            f"- {time.strftime('%Y-%m-%d %H:%M:%S')}, seed {SEED}, full counts",
            f"- {platform.platform()}, Python {platform.python_version()}, {_engine()}",
            f"- {said}",
            *(f"- failed: `{name}`" for name in dict.fromkeys(self.failed)),
        ]
        target = FOLDER / f"{time.strftime('%Y%m%d-%H%M%S')}.md"
        target.write_text("\n".join(lines) + "\n")
        print(f"\nthe result is in {target}")


def pytest_configure(config: pytest.Config) -> None:
    """Take part."""
    FOLDER.mkdir(exist_ok=True)
    config.pluginmanager.register(Proof(_commit()))


def _commit() -> str:
    """The commit, and a hash of what is changed since."""
    commit = _said("git", "rev-parse", "--short=12", "HEAD")
    changed = _said("git", "diff", "HEAD")
    return commit if not changed else f"{commit}+{hashlib.sha256(changed.encode()).hexdigest()[:8]}"


def _engine() -> str:
    return f"Docker {_said('docker', 'version', '--format', '{{.Server.Version}}') or 'not there'}"


def _said(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
