"""What real agents live through when their model's service fails, with the gateway between.

Each fault meets the real Claude Code and the real Codex. docs/gateway.md holds what came of it as a table,
which must be what was seen; `CORRAL_WRITE_FAULTS=1` writes it anew.
"""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from runner.accounts import FromFile
from runner.gateway.client import Gateway
from runner.gateway.grants import Account, DialectName, Service
from tests.conftest import FULL
from tests.e2e.faulty import FAULTS, LONG, Fault, Faulty, serving
from tests.e2e.forwarder import forwarder

AT_ONCE = 4
DOCS = Path(__file__).parents[2] / "docs" / "gateway.md"
BEGIN, END = "<!-- faults: written by tests/e2e/test_faults.py -->\n", "<!-- end of faults -->\n"
KEY = "sk-canary-e2e-0123456789abcdef"


@dataclass(frozen=True)
class Seen:
    """What came of one fault for one agent."""

    fault: Fault
    code: int
    tries: int
    """How often the service was asked."""
    own_retries: int
    """How often the agent said that it tries again."""
    held_s: float
    words: str

    @property
    def cell(self) -> str:
        """What the table says."""
        if self.code == 0:
            return "finished" if not self.own_retries else "finished, after a try of its own"
        return "told at once" if not self.own_retries else "told, after tries of its own"


@contextmanager
def granted(
    home: Path, number: int, service: Faulty, dialect: DialectName
) -> Iterator[tuple[Gateway, str, Path]]:
    """A gateway with a grant for one agent: the box's name, and the socket's directory."""
    gateway = Gateway.ensure(home, idle=20)
    box = f"{number:012x}"
    header, path = ("x-api-key", "") if dialect == "anthropic" else ("authorization", "/v1")
    access = Service(
        dialect=dialect,
        base_url=f"http://127.0.0.1:{service.port}{path}",
        header=header,
        credential=FromFile(path=str(service.key_file)),
        account=f"account-{number}",
    )
    try:
        yield gateway, box, gateway.grant(box, access, account=Account(run="r", attempt=box))
    finally:
        gateway.revoke(box)


def claude(binary: Path, home: Path, place: Path, number: int, fault: Fault) -> Seen:
    """One run of Claude Code."""
    with (
        serving(fault, key_in(place)) as service,
        granted(home, number, service, "anthropic") as (gateway, box, folder),
    ):
        environment = {
            "ANTHROPIC_API_KEY": "placeholder",
            "ANTHROPIC_BASE_URL": "http://gateway",
            "ANTHROPIC_UNIX_SOCKET": str(folder / "gw.sock"),
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "IS_SANDBOX": "1",
        }
        command = [str(binary), "-p", "Say it.", "--output-format", "stream-json", "--verbose"]
        command += ["--dangerously-skip-permissions", "--model", "claude-opus-5-5"]
        code, events = run(command, environment, place)
        retries = [event for event in events if event.get("subtype") == "api_retry"]
        words = str(events[-1].get("result")) if events else ""
        return Seen(fault, code, len(service.tries), len(retries), gateway.usage(box).held_s, words)


def codex(binary: Path, home: Path, place: Path, number: int, fault: Fault) -> Seen:
    """One run of Codex, which needs a port."""
    with (
        serving(fault, key_in(place)) as service,
        granted(home, number, service, "openai") as (gateway, box, folder),
    ):
        with forwarder(folder / "gw.sock") as port:
            provider = "model_providers.gw"
            command = [str(binary), "exec", "--json", "--dangerously-bypass-approvals-and-sandbox"]
            command += ["--skip-git-repo-check", "-m", "gpt-5.5", "-c", "model_provider=gw"]
            for setting in (
                f"{provider}.name=gw",
                f"{provider}.base_url=http://127.0.0.1:{port}/v1",
                f"{provider}.env_key=GW_KEY",
                f"{provider}.wire_api=responses",
                "web_search=disabled",
            ):
                command += ["-c", setting]
            code, events = run([*command, "Say it."], {"GW_KEY": "placeholder"}, place)
        errors = [event for event in events if event.get("type") == "error"]
        retries = [event for event in errors if "Reconnecting" in str(event.get("message"))]
        words = str(events[-1]) if events else ""
        return Seen(fault, code, len(service.tries), len(retries), gateway.usage(box).held_s, words)


def key_in(place: Path) -> Path:
    """A file with the key."""
    place.mkdir()
    (place / "key").write_text(KEY)
    return place / "key"


def run(command: list[str], more: dict[str, str], place: Path) -> tuple[int, list[dict[str, Any]]]:
    """A run of a CLI: its exit code and the events that it printed."""
    for name in ("work", "home"):
        (place / name).mkdir(parents=True)
    done = subprocess.run(
        command,
        cwd=place / "work",
        env={"PATH": os.environ["PATH"], "HOME": str(place / "home"), "TMPDIR": str(place), **more},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=1200,
        check=False,
    )
    assert KEY.encode() not in done.stdout + done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith(b"{")]
    return done.returncode, [json.loads(line) for line in lines]


@pytest.mark.timeout(1500)
def test_what_can_be_waited_out_is_and_what_cannot_is_told(
    claude_binary: Path, codex_binary: Path, tmp_path: Path
) -> None:
    faults = FAULTS + (LONG if FULL else ())
    home = tmp_path / "h"
    agents = {"Claude Code": (claude, claude_binary), "Codex": (codex, codex_binary)}
    numbers = iter(range(1, 1000))
    lock = threading.Lock()

    def meet(name: str, fault: Fault) -> Seen:
        with lock:
            number = next(numbers)
        play, binary = agents[name]
        return play(binary, home, tmp_path / f"{number}", number, fault)

    slow_first = sorted(faults, key=lambda fault: -fault.seconds)
    jobs = [(name, fault) for fault in slow_first for name in agents]
    waiting = sum(fault.seconds > 0 for fault in faults) * len(agents)
    with ThreadPoolExecutor(AT_ONCE + waiting) as pool:
        seen = dict(zip(jobs, pool.map(lambda job: meet(*job), jobs), strict=True))
    assert Gateway.stop(home)

    for (name, fault), one in seen.items():
        where = f"{name}, {fault.name}: {one}"
        if fault.outcome == "absorbed":
            assert (one.code, one.own_retries) == (0, 0), where
            assert one.tries == (fault.times or 0) + 1, where
            assert one.held_s >= fault.seconds * 0.9, where
        elif fault.outcome == "told":
            assert one.code == 1, where
        else:
            assert one.code == 0, where
    table = written([[fault, *(seen[name, fault].cell for name in agents)] for fault in FAULTS], list(agents))
    before, _, rest = DOCS.read_text().partition(BEGIN)
    told, _, after = rest.partition(END)
    if os.environ.get("CORRAL_WRITE_FAULTS"):
        DOCS.write_text(before + BEGIN + table + END + after)
    else:
        assert told == table


def written(rows: list[list[Any]], agents: list[str]) -> str:
    """The table, as Markdown."""
    head = ["The service", "Times", "The gateway", *agents]
    lines = [head, ["---"] * len(head)]
    for fault, *cells in rows:
        if fault.times == 0:
            continue
        times = "always" if fault.times is None else str(fault.times)
        does = "waits, and asks again" if fault.outcome == "absorbed" else "passes it on"
        lines.append([fault.name, times, does, *cells])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
