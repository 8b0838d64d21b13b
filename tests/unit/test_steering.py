"""Which files steer checks, and which a command runs."""

from __future__ import annotations

import pytest

from runner.gather.steering import is_run, steers


@pytest.mark.parametrize(
    "path",
    [
        "conftest.py", "tests/deep/conftest.py", "pytest.ini", "pyproject.toml", "ConfTest.py", "x/y.pth",
        "pytest.py", "lib/_pytest/main.py", "unittest.py", "Makefile", "sub/GNUmakefile", "jest.config.mjs",
        "package.json", ".cargo/config.toml", "sitecustomize.py", "x/p-1.dist-info/entry_points.txt",
        "pluggy.py", "iniconfig/__init__.py", "sitecustomize/__init__.py", "pdb.py", "_pytest.so", ".babelrc",
        "p.egg-info/entry_points.txt", "p.egg", "src/.gitattributes",
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


@pytest.mark.parametrize("path", ["pytest", "lib/_pytest", ".cargo", "a.dist-info", "conftest.py"])
def test_a_link_stands_for_all_that_may_lie_behind_it(path: str) -> None:
    assert steers(path.encode(), is_link=True)


@pytest.mark.parametrize("path", ["src", "tests", "config.toml", "cargo"])
def test_other_links_do_not(path: str) -> None:
    assert not steers(path.encode(), is_link=True)


@pytest.mark.parametrize(
    ("path", "command"),
    [
        ("tests/run.sh", "sh tests/run.sh"),
        ("tests/all", "./tests/all --fast"),
        ("x.sh", "bash -e x.sh"),
        ("x.sh", "bash -euo pipefail x.sh"),
        ("x", "bash -o pipefail x"),
        ("x.sh", "timeout 60 x.sh"),
        ("x.sh", "timeout -k 5 1m ./x.sh"),
        ("x.py", "uv run python x.py"),
        ("x.py", "coverage run x.py"),
        ("x.sh", "if ./x.sh; then echo ok; fi"),
        ("x.sh", "! ./x.sh"),
        ("ci/x.sh", "cd ci && ./x.sh"),
        ("a/b/x.sh", "cd a; cd b; sh ../b/x.sh"),
        ("check", "bash check"),
        ("x.sh", "bash < x.sh"),
        ("x.sh", "sh -c './x.sh && true'"),
        ("x.sh", 'test "$(./x.sh)" = ok'),
        ("x.sh", "echo `./x.sh`"),
        ("x.sh", "/workspace/x.sh"),
        ("x y.sh", "sh 'x y.sh'"),
        ("ci/check.py", "python -m ci.check"),
        ("ci/__main__.py", "python3 -m ci -v"),
        ("x.sh", "env A=b nice -n 5 ./x.sh 'a"),
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
        ("src/a.py", "ruff check src/a.py"),
        ("new.txt", "test -e new.txt && cat new.txt"),
        ("x.py", "python -c 'import x' x.py"),
        ("tests/test_a.py", "cd tests && pytest test_a.py"),
        ("tests/run.py", "python tests/run.py"),
        ("test/index.js", "node test/index.js"),
        ("a_test.go", "go test a_test.go"),
        ("x", ""),
    ],
)
def test_a_command_does_not_run_it(path: str, command: str) -> None:
    assert not is_run(path.encode(), command)
