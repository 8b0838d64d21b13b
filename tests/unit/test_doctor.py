"""Findings with their level and their cure, from a machine as it is and from captured ones."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest

from runner.sandbox.engine import EngineFacts
from runner.settings import Settings
from runner.supervisor import doctor
from runner.supervisor.doctor import Finding, examine, kernel_features, weaker


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
    settings = Settings(home=tmp_path)
    found = doctor._credentials(settings)
    assert found.found == "ANTHROPIC_API_KEY"
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
