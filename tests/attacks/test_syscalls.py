"""What a box may ask of the kernel: a table of system calls, its powers, and what of the host it sees.

The probe runs in a container made by `create_arguments`, as any box is, so that what is measured is the
boundary itself and nothing that stands before it.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runner.git.base_store import BaseStore
from runner.sandbox import box
from runner.sandbox.box import LOG_BYTES, MIB, BoxSpec, Mount
from runner.sandbox.engine import Engine
from runner.sandbox.images import Images
from runner.settings import BOX_UID
from runner.tasks.plan import Source
from tests.support import git, make_repo

pytestmark = pytest.mark.engine

PROBE = (Path(__file__).parent / "probe_syscalls.py").read_text()
GOLDEN = json.loads((Path(__file__).parent / "golden" / "syscalls.json").read_text())

LET_THROUGH = ("landlock version", "socket udp over ipv6")
"""The filter lets these pass, and what comes of them is the kernel's choice: it may lack them."""


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with Engine(os.environ) as connection:
        yield connection


@pytest.fixture(scope="module")
def image(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Corral's own development image, which has Python."""
    folder = make_repo(tmp_path_factory.mktemp("repo"))
    source = Source(
        repo=str(folder), git_dir=f"{folder}/.git", base=git(folder, "rev-parse", "HEAD"), base_name="HEAD"
    )
    bundle = os.environ.get("SSL_CERT_FILE")
    home = tmp_path_factory.mktemp("home")
    images = Images(
        engine,
        home,
        BOX_UID,
        lambda source: BaseStore(Path(source.git_dir), source.base),
        Path(bundle) if bundle else None,
    )
    return images.prepare(source, None)


def spec(image: str, mounts: tuple[Mount, ...] = ()) -> BoxSpec:
    return BoxSpec(
        name=f"corral-test-{uuid.uuid4().hex[:12]}",
        image=image,
        argv=("python3", "-c", PROBE),
        labels={},
        user=BOX_UID,
        cpus=1.0,
        memory=512 * MIB,
        pids=128,
        mounts=mounts,
    )


def ran(engine: Engine, described: BoxSpec) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the probe found, and what the engine says of the container that it ran in."""
    container = engine.create(described)
    said = bytearray()
    try:
        output = engine.attach(container)
        engine.start(container)
        for out, err in output:
            said += out or err or b""
        inspected: dict[str, Any] = engine._api.inspect_container(container)
    finally:
        engine.remove(container)
    return json.loads(said), inspected


@pytest.fixture(scope="module")
def both(
    engine: Engine, image: str, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, Any], dict[str, Any]]:
    folder = tmp_path_factory.mktemp("gw")
    return ran(engine, spec(image, (Mount(str(folder), "/run/gw"),)))


@pytest.fixture(scope="module")
def found(both: tuple[dict[str, Any], dict[str, Any]]) -> dict[str, Any]:
    return both[0]


@pytest.fixture(scope="module")
def host(both: tuple[dict[str, Any], dict[str, Any]]) -> dict[str, Any]:
    """The engine's `HostConfig` of the box."""
    config: dict[str, Any] = both[1]["HostConfig"]
    return config


def test_the_table_of_system_calls(found: dict[str, Any]) -> None:
    table = dict(found["calls"])
    assert all(table.pop(name) != "EPERM" for name in LET_THROUGH)
    assert table == {name: result for name, result in GOLDEN.items() if name in table}
    assert len(table) >= 80


def test_the_engine_s_own_profile_would_give_another_table(
    engine: Engine, image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(box, "_security", lambda _: ["no-new-privileges"])
    calls = ran(engine, spec(image))[0]["calls"]
    assert {name for name, result in GOLDEN.items() if calls.get(name, result) != result} >= {
        "socket netlink audit",
        "ioctl TIOCSETD",
    }


def test_the_box_has_no_power(found: dict[str, Any]) -> None:
    status = found["status"]
    assert {status[f"Cap{kind}"] for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb")} == {"0" * 16}
    assert status["NoNewPrivs"] == "1"
    assert status["Seccomp"] == "2"
    assert set(status["Uid"].split() + status["Gid"].split() + status["Groups"].split()) == {str(BOX_UID)}


def test_nothing_of_the_kernel_can_be_written(found: dict[str, Any]) -> None:
    assert set(found["kernel_writes"].values()) <= {"EACCES", "EROFS", "EISDIR", "ENOENT", "EPERM"}
    assert found["kernel_writes"]["/proc/sys/kernel/core_pattern"] in {"EACCES", "EROFS"}
    assert found["root_write"] == "EROFS"


def test_nothing_of_the_host_can_be_read(found: dict[str, Any]) -> None:
    given = {
        path: got for path, got in found["secrets"].items() if got not in {0, "ENOENT", "EACCES", "EPERM"}
    }
    assert given == {}
    assert found["kernel_addresses"] in ([""], "EACCES", "EPERM")


def test_masked_and_read_only_paths(found: dict[str, Any]) -> None:
    mounts = found["mounts"]
    for path in ("/", "/sys", "/proc/sys", "/proc/irq", "/proc/bus", "/proc/fs", "/sys/firmware"):
        if path in mounts or path in {"/", "/sys", "/proc/sys"}:
            assert "ro" in mounts[path], path
    assert all("ro" in options for path, options in mounts.items() if path.startswith("/sys/fs/cgroup/"))
    assert {"nosuid", "nodev"} <= set(mounts["/tmp"])  # noqa: S108 - in the box
    assert "noexec" not in mounts["/tmp"]  # noqa: S108 - in the box
    assert "ro" in mounts["/run/gw"]
    writable = {path for path, options in mounts.items() if "rw" in options and not path.startswith("/proc")}
    assert writable <= {"/dev", "/dev/pts", "/dev/mqueue", "/dev/shm", "/sys/fs/cgroup", "/tmp"}  # noqa: S108 - as above


def test_only_harmless_devices(found: dict[str, Any]) -> None:
    # Memory devices without memory, and terminals: Documentation/admin-guide/devices.txt.
    harmless = {(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 2)}
    assert {tuple(numbers) for numbers in found["devices"].values()} <= harmless


def test_no_core_no_other_process_no_network_no_terminal(found: dict[str, Any]) -> None:
    assert found["core"] == {"dumped": False, "files": []}
    assert found["core_limit"] == [0, 0]
    assert found["files_limit"] == [8192, 8192]
    assert len(found["processes"]) == 2  # the init, and the probe
    assert found["interfaces"] == ["lo"]
    assert found["terminal"] == [False] * 3


def test_the_engine_made_what_it_was_told(host: dict[str, Any]) -> None:
    assert host["Privileged"] is False
    assert host["ReadonlyRootfs"] is True
    assert host["NetworkMode"] == "none"
    assert host["CapDrop"] == ["ALL"]
    assert not host["CapAdd"]
    assert not host["Devices"]
    assert not host["DeviceCgroupRules"]
    assert not host["GroupAdd"]
    assert not host["VolumesFrom"]
    assert not host["Binds"]
    assert not host["Links"]
    assert not host["ExtraHosts"]
    assert not host["PortBindings"]
    assert host["PublishAllPorts"] is False
    assert host["RestartPolicy"]["Name"] == "no"
    assert host["Init"] is True


def test_no_namespace_of_the_host_s(host: dict[str, Any]) -> None:
    assert host["IpcMode"] == "private"
    assert {host[f"{kind}Mode"] for kind in ("Pid", "UTS", "Userns")} == {""}
    assert host.get("CgroupnsMode", "") in {"", "private", "host"}  # `host` is all that cgroup v1 has


def test_every_resource_has_a_limit(host: dict[str, Any]) -> None:
    assert host["Memory"] == host["MemorySwap"] == 512 * MIB
    assert host["NanoCpus"] == 10**9
    assert host["PidsLimit"] == 128
    assert host["OomKillDisable"] in {False, None}
    assert {row["Name"]: (row["Soft"], row["Hard"]) for row in host["Ulimits"]} == {
        "core": (0, 0),
        "nofile": (8192, 8192),
    }
    assert host["LogConfig"]["Type"] == "json-file"
    assert host["LogConfig"]["Config"] == {"max-size": str(LOG_BYTES), "max-file": "2"}


def test_its_profile_is_ours_and_the_engine_s_socket_is_not_there(
    both: tuple[dict[str, Any], dict[str, Any]], host: dict[str, Any]
) -> None:
    options = [option.partition("=")[0] for option in host["SecurityOpt"]]
    assert options == ["no-new-privileges", "seccomp"]
    assert "unconfined" not in host["SecurityOpt"][1]
    assert host["MaskedPaths"]
    assert host["ReadonlyPaths"]
    mounts = [(row["Destination"], row["RW"], row["Propagation"]) for row in both[1]["Mounts"]]
    assert mounts == [("/run/gw", False, "rprivate")]
    assert not any("docker.sock" in row["Source"] for row in both[1]["Mounts"])
