"""Which files steer checks, and which a command runs."""

from __future__ import annotations

import pytest

from runner.gather.steering import is_run, steers


@pytest.mark.parametrize(
    "path",
    [
        "conftest.py", "tests/deep/conftest.py", "pytest.ini", "pyproject.toml", "ConfTest.py", "x/y.pth",
        "pytest.py", "lib/_pytest/main.py", "unittest.py", "Makefile", "sub/GNUmakefile", "jest.config.mjs",
        "package.json", ".cargo/config.toml", "sitecustomize.py",
    ],
)  # fmt: skip
def test_it_steers(path: str) -> None:
    assert steers(path.encode())


@pytest.mark.parametrize(
    "path",
    ["src/calc.py", "tests/test_a.py", "myconftest.py", "conftest.py/x", "docs/makefile.md", "config.toml"],
)
def test_it_does_not(path: str) -> None:
    assert not steers(path.encode())


@pytest.mark.parametrize(
    ("path", "command"),
    [
        ("ci/check.sh", "sh ci/check.sh"),
        ("ci/check.sh", "make build && ./ci/check.sh -v"),
        ("run.py", "python3 -W error run.py tests"),
        ("run.py", "X=1 python3.11 run.py"),
        ("check", "(cd . ; ./check)"),
        ("lib.sh", ". ./lib.sh; true"),
    ],
)
def test_a_command_runs_it(path: str, command: str) -> None:
    assert is_run(path.encode(), command)


@pytest.mark.parametrize(
    ("path", "command"),
    [
        ("answer", "grep right answer"),
        ("tests/test_a.py", "python tests/test_a.py"),
        ("test_a.py", "./test_a.py"),
        ("calc.py", "python -m pytest calc.py"),
        ("check.sh", "sh other/check.sh"),
        ("x", ""),
    ],
)
def test_a_command_does_not_run_it(path: str, command: str) -> None:
    assert not is_run(path.encode(), command)
