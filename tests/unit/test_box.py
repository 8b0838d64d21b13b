"""Everything a container gets is in one pure function; the golden file is what the engine is told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from runner.sandbox.box import MIB, BoxSpec, Mount, create_arguments

GOLDEN = Path(__file__).parent / "golden"

AGENT = BoxSpec(
    name="corral-agent-0123456789ab-aabbcc",
    image="sha256:feed",
    argv=("/opt/corral/enter", "work", "c0ffee", "claude", "-p"),
    labels={"corral.home": "aa", "corral.run": "r", "corral.role": "agent", "corral.attempt": "t/p/1"},
    user=59999,
    cpus=1.5,
    memory=2048 * MIB,
    pids=512,
    mounts=(Mount("/state/w/x", "/workspace", read_only=False), Mount("/state/s/x", "/run/gw")),
    env={"HOME": "/home/agent", "LANG": "C.UTF-8"},
)
STEWARD = BoxSpec(
    name="corral-steward-aa-r",
    image="sha256:feed",
    argv=("/bin/cat",),
    labels={"corral.home": "aa", "corral.run": "r", "corral.role": "steward"},
    user=None,
    cpus=1,
    memory=1024 * MIB,
    pids=64,
    capabilities=("CHOWN",),
    keep_output=False,
    stdin_lifeline=True,
    workdir="/",
)


@pytest.mark.parametrize(("name", "spec"), [("agent", AGENT), ("steward", STEWARD)])
def test_the_engine_is_told_exactly_this(name: str, spec: BoxSpec) -> None:
    assert create_arguments(spec) == json.loads((GOLDEN / f"create-{name}.json").read_text())


def test_a_box_has_no_network_no_power_and_no_swap() -> None:
    host = create_arguments(AGENT)["HostConfig"]
    assert host["NetworkMode"] == "none"
    assert host["CapDrop"] == ["ALL"]
    assert host["CapAdd"] == []
    assert host["MemorySwap"] == host["Memory"] == AGENT.memory
    assert host["ReadonlyRootfs"]
    assert host["PidsLimit"] == 512
    assert "no-new-privileges" in host["SecurityOpt"]


def test_what_the_image_would_bring_is_taken_back() -> None:
    told = create_arguments(AGENT)
    assert told["Entrypoint"] == [""]
    assert told["Healthcheck"] == {"Test": ["NONE"]}
    assert told["User"] == "59999:59999"
    assert told["StopSignal"] == "SIGTERM"
