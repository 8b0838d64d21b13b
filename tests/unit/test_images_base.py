"""Where the base image comes from: what is here, a registry, a bootstrap, or a clear word on what to do."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from runner.errors import ImageError
from runner.sandbox import base
from runner.sandbox.base import make_base
from runner.sandbox.engine import Engine
from runner.sandbox.facts import ImageFacts
from runner.sandbox.layers import BASE_REFERENCE, base_layer

LAYER = base_layer("linux-x64")
PULLED = "sha256:" + "a" * 64


class FakeEngine:
    """An engine that holds some images and reaches a registry, or doesn't."""

    def __init__(self, held: tuple[str, ...] = (), *, registry: bool = False) -> None:
        self.held = held
        self.registry = registry
        self.labels: Mapping[str, str] = {}
        self.files: dict[str, bytes] = {}

    def image(self, reference: str) -> ImageFacts | None:
        return ImageFacts(PULLED, (reference,), {}, 1.0, 1, (), "", ()) if reference in self.held else None

    def pull(self, reference: str, on_line: Callable[[str], None]) -> str:
        on_line(f"pulling {reference}")
        if not self.registry:
            raise ImageError(f"can't pull {reference}: no such host")
        return PULLED

    def build(self, parts: Iterable[bytes], tag: str, *, labels: Mapping[str, str], **_: Any) -> str:
        assert tag == LAYER.tag
        self.labels = labels
        with tarfile.open(fileobj=io.BytesIO(b"".join(parts))) as sent:
            self.files = {m.name: cast(io.BufferedReader, sent.extractfile(m)).read() for m in sent}
        return "sha256:built"


@pytest.mark.parametrize("engine", [FakeEngine((BASE_REFERENCE,)), FakeEngine(registry=True)])
def test_a_pinned_image_is_used_or_pulled_and_its_id_recorded(engine: FakeEngine, tmp_path: Path) -> None:
    assert make_base(cast(Engine, engine), LAYER, tmp_path, lambda _: None) == "sha256:built"
    assert engine.labels["corral.base.image"] == PULLED
    assert engine.labels["corral.image"] == "base"
    assert list(engine.files.values()) == [f"FROM {BASE_REFERENCE}\n".encode()]


def test_without_registry_and_root_it_is_said_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    said: list[str] = []
    with pytest.raises(ImageError, match="needs root") as caught:
        make_base(cast(Engine, FakeEngine()), LAYER, tmp_path, said.append)
    assert "no such host" in caught.value.message
    assert "corral image build" in str(caught.value.cure)
    assert BASE_REFERENCE in str(caught.value.cure)
    assert any(BASE_REFERENCE in line for line in said)


def test_without_any_tool_it_is_said_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(base, "_found", lambda _: False)
    with pytest.raises(ImageError, match="no debootstrap") as caught:
        make_base(cast(Engine, FakeEngine()), LAYER, tmp_path, lambda _: None)
    assert "install debootstrap" in str(caught.value.cure)


def test_a_bootstrap_that_fails_leaves_nothing_and_says_the_last_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = tmp_path / "bin" / "debootstrap"
    tool.parent.mkdir()
    tool.write_text('#!/bin/sh\n/bin/mkdir -p "$3/some" && echo E: no mirror >&2; exit 1\n')
    tool.chmod(0o755)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(base, "_SEARCH", f"{tool.parent}:/usr/bin:/bin")
    monkeypatch.setenv("PATH", str(tool.parent))
    with pytest.raises(ImageError, match="debootstrap ended with exit code 1: E: no mirror") as caught:
        make_base(cast(Engine, FakeEngine()), LAYER, tmp_path / "scratch", lambda _: None)
    assert caught.value.log == ("E: no mirror",)
    assert list((tmp_path / "scratch").iterdir()) == []


def test_the_key_hangs_on_the_platform() -> None:
    assert base_layer("linux-arm64").key != LAYER.key
