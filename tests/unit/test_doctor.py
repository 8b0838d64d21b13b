"""Findings with their level and their cure, from a machine as it is and from captured ones."""

from __future__ import annotations

import gc
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from runner.errors import HostError
from runner.sandbox.engine import EngineFacts
from runner.sandbox.facts import check_runtime
from runner.settings import Settings
from runner.supervisor.host import doctor
from runner.supervisor.host.doctor import Finding, examine, kernel_features, weaker


def facts(version: str) -> EngineFacts:
    return EngineFacts(version, "1.41", "1", "overlay2", 2, 1024**3, "/var/lib/docker", (), ())


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_without_an_engine_everything_else_is_still_reported(tmp_path: Path) -> None:
    found = examine(Settings(home=tmp_path), {"DOCKER_HOST": f"unix://{tmp_path}/none.sock"})
    gc.collect()  # the Docker library leaves the socket of a failed connection to the collector
    engine = next(finding for finding in found if finding.name == "engine")
    assert engine.level == "broken"
    assert engine.cure
    assert {"git", "disk", "kernel", "credentials"} <= {finding.name for finding in found}


@pytest.mark.parametrize(
    ("version", "level"), [("19.03.1", "broken"), ("20.10.24+dfsg1", "ok"), ("28.2.2", "ok"), ("dev", "ok")]
)
def test_engine_versions(version: str, level: str) -> None:
    assert doctor._engine_version(facts(version)).level == level


def test_credentials_are_named_and_never_shown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-CANARY")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-CANARY")
    settings = Settings(home=tmp_path)
    found = doctor._credentials(settings)
    assert found.found == "anthropic: default (ANTHROPIC_API_KEY); openai: default (OPENAI_API_KEY)"
    assert "CANARY" not in repr(settings)


def test_kernel_features_from_captured_files(tmp_path: Path) -> None:
    (tmp_path / "self").mkdir()
    (tmp_path / "self" / "status").write_text("Name:\tx\nSeccomp:\t2\n")
    (tmp_path / "filesystems").write_text("nodev\tproc\n\text4\n")
    assert kernel_features(tmp_path, "5.4.0-generic") == {
        "seccomp": True,
        "overlayfs": False,
        "openat2": False,
        "pressure figures": False,
    }
    assert kernel_features(tmp_path, "6.18.44-fc")["openat2"]


def test_what_is_weaker_is_said_in_words() -> None:
    findings = [
        Finding("a", "ok", "fine"),
        Finding("b", "weaker", "not so fine", "do"),
        Finding("c", "broken", "bad"),
    ]
    assert weaker(findings) == ("not so fine",)


def test_a_runtime_that_the_engine_lacks_is_told_before_a_run() -> None:
    lacks_it = replace(facts("27.0"), runtimes=("runc",))
    with pytest.raises(HostError, match="has no runtime 'runsc'; it has runc"):
        check_runtime(lacks_it, "runsc")
    check_runtime(lacks_it, None)


@pytest.mark.parametrize(
    ("changes", "level", "words"),
    [
        ({}, "ok", "same ids"),
        ({"rootless": True}, "ok", "without root"),
        ({"remaps": True, "uid_base": 100000}, "ok", "uid 100000"),
        ({"remaps": True}, "broken", "does not say to which ids"),
    ],
)
def test_who_the_users_of_boxes_are_on_this_host(changes: dict[str, Any], level: str, words: str) -> None:
    found = doctor._users(replace(facts("27.0"), **changes))
    assert found.level == level
    assert words in found.found
    assert bool(found.cure) is (level == "broken")


@pytest.mark.parametrize(
    ("said", "level"),
    [("git version 2.25.1", "broken"), ("git version 2.34.1", "ok"), ("git version 3.0", "ok")],
)
def test_a_git_that_is_too_old_is_told(
    said: str, level: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "git"
    program.write_text(f"#!/bin/sh\necho {said}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert doctor._git().level == level
