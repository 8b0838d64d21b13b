"""What the documents show works: task files load, commands and links exist."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from typer.main import get_command

from runner.cli import app
from runner.config_file import ConfigFile
from runner.tasks.taskfile import load

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), ROOT / "demo" / "README.md"]


def names(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def task_files() -> Iterator[tuple[str, str]]:
    """Every YAML block that holds tasks."""
    for document in DOCUMENTS:
        for number, block in enumerate(re.findall(r"```yaml\n(.*?)```", document.read_text(), re.DOTALL)):
            if "tasks:" in block and "agents:" in block:
                yield f"{names(document)}-{number}", block


@pytest.mark.parametrize("text", [pytest.param(text, id=name) for name, text in task_files()])
def test_shown_task_files_load(text: str) -> None:
    assert load(text, Path("shown.yaml")).tasks


def test_shown_configuration_files_load() -> None:
    shown = re.findall(r"```toml\n(.*?)```", (ROOT / "docs" / "gateway.md").read_text(), re.DOTALL)
    assert len(shown) >= 4
    for text in shown:
        assert ConfigFile.model_validate(tomllib.loads(text)).accounts
    (told,) = re.findall(r"```toml\n(.*?)```", (ROOT / "docs" / "nights.md").read_text(), re.DOTALL)
    assert len(ConfigFile.model_validate(tomllib.loads(told)).notify.to) == 3


@pytest.mark.parametrize("document", DOCUMENTS, ids=names)
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", document.read_text()):
        assert (document.parent / target).exists(), target


@pytest.mark.parametrize("document", DOCUMENTS, ids=names)
def test_shown_commands_exist(document: Path) -> None:
    group = get_command(app)
    known = set(getattr(group, "commands", {}))
    for command in re.findall(r"(?:^|[`$] ?)corral ([a-z]+)\b", document.read_text(), re.MULTILINE):
        assert command in known, command


def test_the_service_mounts_host_paths_at_the_same_place() -> None:
    """Boxes are started by the engine, which knows host paths only."""
    service = yaml.safe_load((ROOT / "compose" / "compose.yaml").read_text())["services"]["corral"]
    assert (ROOT / service["build"]["dockerfile"]).is_file()
    for volume in service["volumes"]:
        source, target = re.sub(r":\?[^}]*", "", volume).rsplit(":", 1)
        assert source == target


def test_the_distribution_holds_every_package_and_the_recipes() -> None:
    listed = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])
    found = {".".join(file.parent.relative_to(ROOT).parts) for file in (ROOT / "runner").rglob("__init__.py")}
    assert listed == found | {"runner.recipes"}
