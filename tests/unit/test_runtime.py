"""`runtime:` in a task file, what the engine says of itself, and the images that are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from runner.errors import HostError, TaskFileError, UsageError
from runner.sandbox.facts import EngineFacts, ImageFacts, check_runtime, engine_facts, image_facts
from runner.sandbox.images import check_fit
from runner.tasks.plan import Plan
from runner.tasks.planning import RepoFacts, make_plan, wanted_repos
from runner.tasks.taskfile import load

FILE = Path("/somewhere/night.yaml")
TASKS = "agents: {a: {cli: command, run: make}}\ntasks: [{id: t}, {id: u}]\n"

DEFAULT = {
    "SecurityOptions": ["name=seccomp,profile=default"],
    "DockerRootDir": "/var/lib/docker",
    "Runtimes": {
        "io.containerd.runc.v2": {"path": "runc"},
        "io.containerd.runtime.v1.linux": {"path": "runc"},
        "runc": {"path": "runc"},
    },
}
REMAPPED = {
    "SecurityOptions": ["name=seccomp,profile=default", "name=userns"],
    "DockerRootDir": "/var/lib/docker/300000.300000",
    "Runtimes": {"runc": {"path": "runc"}, "runsc": {"path": "/usr/bin/runsc"}},
}
ROOTLESS = {
    "SecurityOptions": ["name=seccomp,profile=builtin", "name=rootless", "name=cgroupns"],
    "DockerRootDir": "/home/someone/.local/share/docker",
    "Runtimes": None,
}


def facts(info: dict[str, Any]) -> EngineFacts:
    return engine_facts(info, {"Version": "20.10.24", "ApiVersion": "1.41"})


@pytest.mark.parametrize(
    ("info", "runtimes", "rootless", "uid_base"),
    [
        (DEFAULT, ("io.containerd.runc.v2", "io.containerd.runtime.v1.linux", "runc"), False, None),
        (REMAPPED, ("runc", "runsc"), False, 300000),
        (ROOTLESS, (), True, None),
        (REMAPPED | {"DockerRootDir": "/data"}, ("runc", "runsc"), False, None),
        (DEFAULT | {"DockerRootDir": "/data/1.2"}, ("io.containerd.runc.v2",), False, None),
        ({}, (), False, None),
    ],
)
def test_what_the_engine_says(
    info: dict[str, Any], runtimes: tuple[str, ...], rootless: bool, uid_base: int | None
) -> None:
    found = facts(info)
    assert set(runtimes) <= set(found.runtimes)
    assert (found.rootless, found.uid_base) == (rootless, uid_base)


def test_a_runtime_that_the_engine_lacks_is_refused_with_what_it_has() -> None:
    check_runtime(facts(REMAPPED), "runsc")
    check_runtime(facts(ROOTLESS), None)
    with pytest.raises(HostError, match="no runtime 'kata'; it has runc, runsc") as caught:
        check_runtime(facts(REMAPPED), "kata")
    assert caught.value.cure
    with pytest.raises(HostError, match="it has none"):
        check_runtime(facts(ROOTLESS), "runc")


def planned(text: str) -> Plan:
    file = load(text, FILE)
    wanted = wanted_repos(file, FILE)
    return make_plan(
        file, FILE, "r", {w: RepoFacts(str(w[0]), f"{w[0]}/.git", "a" * 40, w[1]) for w in wanted}
    )


def test_the_runtime_of_the_file_is_that_of_each_task() -> None:
    assert [task.runtime for task in planned(TASKS).tasks] == [None, None]
    plan = planned(f"runtime: io.containerd.runsc.v1\n{TASKS}")
    assert [task.runtime for task in plan.tasks] == ["io.containerd.runsc.v1"] * 2
    assert Plan.model_validate_json(plan.model_dump_json()) == plan


@pytest.mark.parametrize("name", ["../runc", "'a b'", "''", "x" * 65, "'a\\nb'", "/usr/bin/runsc", "7"])
def test_only_plain_names(name: str) -> None:
    with pytest.raises(TaskFileError) as caught:
        load(f"runtime: {name}\n{TASKS}", FILE)
    assert caught.value.problems[0].line == 1


def image(**config: Any) -> ImageFacts:
    return image_facts({"Id": "sha256:1", "Config": config})


def test_an_image_that_brings_what_boxes_take_back_fits() -> None:
    check_fit(
        image(
            WorkingDir="/usr/src/app",
            Entrypoint=["x"],
            Healthcheck={"Test": ["CMD", "x"]},
            StopSignal="SIGUSR1",
            User="root",
            Env=["LD_PRELOAD=/x.so", "PATH=/x", "BASH_ENV=/x"],
        ),
        "x",
    )


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"Volumes": {"/data": {}}}, "VOLUME /data"),
        ({"OnBuild": ["RUN x"]}, "ONBUILD 'RUN x'"),
        ({"WorkingDir": "/proc/self/fd/8"}, "WORKDIR /proc/self/fd/8"),
        ({"WorkingDir": "/x/../proc//self/fd/8"}, "WORKDIR"),
        ({"WorkingDir": "//proc/1/cwd"}, "WORKDIR"),
        ({"WorkingDir": "/dev/fd/8"}, "WORKDIR"),
        ({"Env": ["GIT_CONFIG_PARAMETERS='core.fsmonitor=x'"]}, "GIT_CONFIG_PARAMETERS"),
        ({"Env": ["GIT_SHALLOW_FILE=/x"]}, "GIT_SHALLOW_FILE"),
    ],
)
def test_an_image_that_does_not_fit(config: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        check_fit(image(**config), "x")
    assert caught.value.exit_code == 2
    assert caught.value.cure
