"""The structure holds: arrows run downwards, there are no circles, each outside world has one owner."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import runner

ROOT = Path(runner.__file__).parent

# From the top down: a room may import itself and what stands below it, on a later line.
LEVELS: tuple[set[str], ...] = (
    {"__main__"},
    {"cli"},
    {"commands"},
    {"views"},
    {"selfcheck"},
    {"supervisor"},
    {"gather"},
    {"sandbox", "gateway"},
    {"git", "agents", "compare", "settings"},
    {"config_file"},
    {"recipients"},
    {"accounts"},
    {"tasks"},
    {"locks", "database", "interruptions"},
    {"guarded", "names"},
    {"errors"},
)

# Who may speak to which outside world. A directory owns it with all of its files.
OWNERS: dict[str, set[str]] = {
    "docker": {"sandbox/engine.py"},
    "requests": {"sandbox/engine.py"},
    "urllib3": {"sandbox/engine.py"},
    "git": {"git/trusted.py"},
    "sqlite3": {"database.py"},
    "psutil": {"supervisor/host/machine.py"},
    "aiohttp": {"gateway/"},
    "http": {"gateway/"},
    "socket": {"gateway/"},
    "apprise": {"supervisor/people/post.py"},
    "keyring": {"gateway/keys/from_keyring.py"},
    "typer": {"cli.py", "commands/"},
    "pydantic_settings": {"settings.py"},
}

PURE = ("tasks", "agents", "compare")
TOUCHING = {"subprocess", "os", "socket", "shutil", "threading", "tempfile", "asyncio"}


def files() -> list[Path]:
    return sorted(ROOT.rglob("*.py"))


def name_of(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


def room_of(file: Path) -> str:
    return file.relative_to(ROOT).parts[0].removesuffix(".py")


@cache
def imports(file: Path) -> tuple[str, ...]:
    """Full names of all modules that a file imports, wherever in it."""
    return tuple(_imports(ast.parse(file.read_text())))


def _imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, "imports are absolute"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def modules_of_ours(file: Path) -> set[Path]:
    """The files of the project that a file imports."""
    found = set()
    for name in imports(file):
        if name.startswith("runner."):
            place = ROOT.joinpath(*name.split(".")[1:])
            found |= {path for path in (place.with_suffix(".py"), place / "__init__.py") if path.exists()}
    return found


def level(room: str) -> int:
    return next(number for number, rooms in enumerate(LEVELS) if room in rooms)


def test_every_room_has_its_level() -> None:
    rooms = {room_of(file) for file in files()} - {"__init__"}
    assert rooms == set().union(*LEVELS)


@pytest.mark.parametrize("file", files(), ids=name_of)
def test_arrows_run_downwards(file: Path) -> None:
    room = room_of(file)
    if room == "__init__":
        return
    for target in modules_of_ours(file):
        other = room_of(target)
        if other not in {room, "__init__"}:
            assert level(other) > level(room), f"{name_of(file)} imports {name_of(target)}"


def test_there_are_no_circles() -> None:
    done: set[Path] = set()

    def visit(file: Path, above: tuple[Path, ...]) -> None:
        assert file not in above, " → ".join(name_of(f) for f in (*above[above.index(file) :], file))
        if file not in done:
            for target in modules_of_ours(file) - {file}:
                if target.name != "__init__.py":
                    visit(target, (*above, file))
            done.add(file)

    for file in files():
        visit(file, ())


@pytest.mark.parametrize("file", files(), ids=name_of)
def test_each_outside_world_has_one_owner(file: Path) -> None:
    for module in imports(file):
        owners = OWNERS.get(module.split(".")[0])
        if owners is not None:
            assert any(name_of(file).startswith(owner) for owner in owners), f"{name_of(file)} uses {module}"


@pytest.mark.parametrize("file", [f for f in files() if room_of(f) in PURE], ids=name_of)
def test_pure_rooms_touch_nothing(file: Path) -> None:
    assert not {name.split(".")[0] for name in imports(file)} & TOUCHING


@pytest.mark.parametrize("file", files(), ids=name_of)
def test_only_settings_read_the_environment(file: Path) -> None:
    if name_of(file) == "settings.py":
        return
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Attribute) and node.attr in {"environ", "getenv"}:
            assert not (isinstance(node.value, ast.Name) and node.value.id == "os"), name_of(file)


@pytest.mark.parametrize("file", files(), ids=name_of)
def test_no_file_outgrows_its_reader(file: Path) -> None:
    lines = len(file.read_text().splitlines())
    assert lines <= 450, f"{name_of(file)} has {lines} lines: it wants to be two files"
