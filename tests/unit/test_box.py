"""Everything a container gets is in one pure function; the golden file is what the engine is told."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from runner.sandbox import seccomp
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


MOUNTER = BoxSpec(
    name="corral-mounter-aa-r",
    image="sha256:feed",
    argv=("/bin/cat",),
    labels={"corral.home": "aa", "corral.run": "r", "corral.role": "mounter"},
    user=None,
    cpus=1,
    memory=1024 * MIB,
    pids=64,
    mounts=(
        Mount("/dev", "/dev", read_only=False),
        Mount("/state/disks", "/state/disks", read_only=False, propagation="rshared"),
    ),
    capabilities=("SYS_ADMIN",),
    keep_output=False,
    stdin_lifeline=True,
    mounts_disks=True,
    workdir="/",
)
PROFILE = f"seccomp={json.dumps(seccomp.profile(), separators=(',', ':'))}"


def readable(told: dict[str, Any]) -> dict[str, Any]:
    """The arguments with the system call profile, which has a golden file of its own, by name."""
    options = told["HostConfig"]["SecurityOpt"]
    shown = ["seccomp=(runner/sandbox/seccomp.py)" if option == PROFILE else option for option in options]
    return {**told, "HostConfig": {**told["HostConfig"], "SecurityOpt": shown}}


@pytest.mark.parametrize(("name", "spec"), [("agent", AGENT), ("steward", STEWARD), ("mounter", MOUNTER)])
def test_the_engine_is_told_exactly_this(name: str, spec: BoxSpec) -> None:
    assert readable(create_arguments(spec)) == json.loads((GOLDEN / f"create-{name}.json").read_text())


def test_a_box_has_no_network_no_power_and_no_swap() -> None:
    host = create_arguments(AGENT)["HostConfig"]
    assert host["NetworkMode"] == "none"
    assert host["CapDrop"] == ["ALL"]
    assert host["CapAdd"] == []
    assert host["MemorySwap"] == host["Memory"] == AGENT.memory
    assert host["ReadonlyRootfs"]
    assert host["PidsLimit"] == 512
    assert host["SecurityOpt"] == ["no-new-privileges", PROFILE]


def test_what_the_image_would_bring_is_taken_back() -> None:
    told = create_arguments(AGENT)
    assert told["Entrypoint"] == [""]
    assert told["Healthcheck"] == {"Test": ["NONE"]}
    assert told["User"] == "59999:59999"
    assert told["StopSignal"] == "SIGTERM"
    assert told["WorkingDir"] == "/workspace"
    assert told["Cmd"]


def test_variables_that_reach_into_our_programs_are_removed_unless_a_profile_sets_them() -> None:
    assert "LD_PRELOAD" in create_arguments(AGENT)["Env"]
    told = create_arguments(replace(AGENT, env={"LD_PRELOAD": "/lib/jemalloc.so"}))["Env"]
    assert "LD_PRELOAD=/lib/jemalloc.so" in told
    assert "LD_PRELOAD" not in told


def test_another_runtime_is_asked_for_by_name_only() -> None:
    assert "Runtime" not in create_arguments(AGENT)["HostConfig"]
    assert create_arguments(replace(AGENT, runtime="runsc"))["HostConfig"]["Runtime"] == "runsc"
