"""Which files steer checks, and which a command runs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.gather.steering import Steering, is_run, steers
from runner.gather.tree import Tree


@pytest.mark.parametrize(
    "path",
    [
        "conftest.py", "tests/deep/conftest.py", "pytest.ini", "pyproject.toml", "ConfTest.py", "x/y.pth",
        "pytest.py", "lib/_pytest/main.py", "unittest.py", "Makefile", "sub/GNUmakefile", "jest.config.mjs",
        "package.json", ".cargo/config.toml", "sitecustomize.py", "x/p-1.dist-info/entry_points.txt",
        "pluggy.py", "iniconfig/__init__.py", "sitecustomize/__init__.py", "pdb.py", "_pytest.so", ".babelrc",
        "p.egg-info/entry_points.txt", "p.egg", "src/.gitattributes", "difflib.py", "logging/__init__.py",
        "node_modules/.bin/jest", "x/.venv/lib/a.py", "x/site-packages/a/b.py", "jest.setup.ts",
        ".yarnrc.yml", "spec/spec_helper.rb", "tests/__pycache__/test_a.cpython-311.pyc",
    ],
)  # fmt: skip
def test_it_steers(path: str) -> None:
    assert steers(path.encode())


@pytest.mark.parametrize(
    "path",
    [
        "src/calc.py",
        "tests/test_a.py",
        "myconftest.py",
        "conftest.py/x",
        "docs/makefile.md",
        "config.toml",
        "src/logging.py",
        "logging/x.py",
        "queue.py",
        "node_modules.md",
    ],
)
def test_it_does_not(path: str) -> None:
    assert not steers(path.encode())


@pytest.mark.parametrize(
    "path", ["pytest", "lib/_pytest", ".cargo", "a.dist-info", "conftest.py", "difflib", ".venv"]
)
def test_a_link_stands_for_all_that_may_lie_behind_it(path: str) -> None:
    assert steers(path.encode(), is_link=True)


@pytest.mark.parametrize("path", ["src", "tests", "config.toml", "cargo"])
def test_other_links_do_not(path: str) -> None:
    assert not steers(path.encode(), is_link=True)


@pytest.mark.parametrize(
    ("path", "command"),
    [
        ("tests/run.sh", "sh tests/run.sh"),
        ("tests/all", "chmod +x tests/all && ./tests/all --fast"),
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
        ("a b/x.sh", "cd 'a b' && ./x.sh"),
        ("x y.sh", "sh x\\ y.sh"),
        ("ci/check.py", "python -m ci.check"),
        ("ci/__main__.py", "python3 -m ci -v"),
        ("x.sh", "env A=b nice -n 5 ./x.sh 'a"),
        ("ci/check.sh", "sh ci/check.sh"),
        ("ci/check.sh", "make build && ./ci/check.sh -v"),
        ("run.py", "python3 -W error run.py tests"),
        ("run.py", "X=1 python3.11 run.py"),
        ("check", "(cd . ; sh ./check)"),
        ("lib.sh", ". ./lib.sh; true"),
        ("x.sh", "find . -name x.sh -exec sh {} +"),
        ("run.py", "pipx run ./run.py"),
        ("run.py", "uv run -p 3.11 run.py"),
        ("x.ts", "npx tsx x.ts"),
        ("x.t", "prove -l x.t"),
        ("x.sh", "eval 'exec ./x.sh -v'"),
        ("x.sh", "flock /tmp/l strace -f ./x.sh"),
        ("x.sh", "timeout -s KILL 60 ./x.sh"),
        ("x.sh", "A=./x.sh; $A"),
        ("x.sh", '"$(pwd)"/x.sh "${A}"'),
        ("ci/x.sh", "PATH=$PWD/ci:$PATH x.sh"),
        ("ci/x.sh", "env -C ci ./x.sh"),
        ("x.py", "cat x.py | python -"),
        ("x", "ls | xargs -n1 sh < x"),
        ("x.sh", "2>&1 ./x.sh"),
        ("x.sh", "./x\\\n.sh"),
        ("x.sh", "# don't\n./x.sh"),
        ("run.py", "python run.py -c answer"),
        ("dir/__main__.py", "python dir"),
        ("plug/a.py", "PYTHONPATH=plug pytest -p a"),
        ("ci.ini", "pytest -c ci.ini"),
        ("ci/jest.json", "jest --config=ci/jest.json"),
        ("ci/rules", "make -f ci/rules"),
        ("ci/a", "awk -F: -f ci/a answer"),
        ("req/x.py", "python -W error -X dev req/x.py"),
        ("x y", "bash 'x y'"),
        ("tests/runtests.py", "cd tests && python runtests.py"),
        ("x.sh", 'bash -c "cd . && ./x.sh"'),
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
        ("test/index.js", "node test/index.js"),
        ("a_test.go", "go test a_test.go"),
        ("a.py", "uv run ruff check a.py"),
        ("a.py", "python -m ruff check a.py"),
        ("a.py", "python -Pc 'import a' a.py"),
        ("answer", "which python && cat answer | python -m json.tool"),
        ("answer", "wc -c answer; awk '{print}' answer"),
        ("answer", "grep -E '^(a|b)' answer || grep 'f(x)' answer"),
        ("README.md", "! grep -qF 'uv run python' README.md"),
        ("x.sh", "shellcheck x.sh && if ! grep -q python x.sh; then false; fi"),
        ("src/main.py", "python main.py"),
        ("x", ""),
    ],
)
def test_a_command_does_not_run_it(path: str, command: str) -> None:
    assert not is_run(path.encode(), command)


@pytest.mark.parametrize(
    "command", ["(cd . ; ./ci/check)", "strace ./ci/check -v", "cd ci; eval check", "! ionice -c 3 ci/check"]
)
def test_a_file_that_can_be_run_is_wherever_it_is_named(command: str) -> None:
    assert is_run(b"ci/check", command, is_program=True)
    assert not is_run(b"other/check", command, is_program=True)


@pytest.mark.parametrize(
    "command", ["! grep -n '(object)' a.py", 'grep -E "x;y|z" a.py', "ls a.py; test -e 'a.py' && cat \\a.py"]
)
def test_what_only_looks_at_a_file_runs_none_whatever_it_looks_for(command: str) -> None:
    assert not is_run(b"a.py", command, is_program=True)


def counted(path: str, command: str = "python -m pytest", tops: str = "", *, is_new: bool = True) -> bool:
    steering = Steering.of((command,), Tree(frozenset(tops.split())))
    return steering.counts(path, is_new=is_new, is_program=False, is_link=False, was_link=False)


def test_what_stands_in_for_a_tool_is_new_and_named() -> None:
    by_coverage = "python -m coverage run -m pytest"
    assert counted("coverage.py", by_coverage)
    assert counted("coverage/cmdline.py", by_coverage)
    assert counted("xdist.py")
    assert not counted("coverage/new.py", by_coverage, "coverage setup.py")
    assert not counted("pylint/checkers/new.py", "python -m pytest", "pylint")
    assert not counted("robot.py", "python -m pytest robot_test.py")
    assert not counted("robot/arm.go", "go test ./...")
    assert not counted("src/mypy.py", "python -m mypy src/a.py")


def test_what_stands_in_for_the_library_lies_where_a_command_goes() -> None:
    assert counted("backend/difflib.py", "cd backend && python -m pytest")
    assert counted("backend/coverage.py", "cd backend && python -m coverage run -m pytest")
    assert counted("readline.py")
    assert counted("random.py")
    assert not counted("random.py", "python -m unittest")
    assert not counted("calendar.py")
    assert not counted("src/difflib.py")


def test_what_is_installed_may_be_what_tests_are_about() -> None:
    assert counted("node_modules/a/index.js", "npm test")
    assert counted("app/.venv/x.py")
    assert not counted("test/fixtures/a/node_modules/dep/index.js", "npm test")


def linked(path: str, command: str, **links: str) -> bool:
    targets = {name.replace("_", "/"): target for name, target in links.items()}
    steering = Steering.of((command,), Tree(frozenset(), frozenset(targets), targets.__getitem__))
    return steering.counts(path, is_new=False, is_program=False, is_link=False, was_link=False)


def test_links_lead_to_what_steers() -> None:
    assert linked("tools/run.sh", "sh scripts/run.sh", scripts="s2", s2="tools", tools_a=".")
    assert linked("tools/run.sh", "cd ci && ./run.sh", ci="tools")
    assert linked("b/run.sh", "sh ci", ci="lnk/../run.sh", lnk="b/c")
    assert linked("b/fixtures.py", "pytest", conftest="x", tests_conftest="y") is False
    assert linked("cfg/config.toml", "cargo test", **{".cargo": "cfg"})
    assert not linked("src/a.js", "npm test", node="x")


def test_sources_that_links_make_installed_are_none() -> None:
    links = {"node_modules/app": "../src"}
    steering = Steering.of(("npm test",), Tree(frozenset(), frozenset(links), links.__getitem__))
    args = {"is_new": False, "is_program": False, "is_link": False, "was_link": False}
    assert not steering.counts("src/a.js", **args)
    assert steering.counts("node_modules/app", **{**args, "is_link": True, "was_link": True})


def test_a_test_that_a_runner_is_given_is_none_that_the_command_runs() -> None:
    assert not is_run(b"tests/test_a.py", "python tests/test_a.py", is_program=True)


@given(path=st.binary(max_size=30), command=st.text(max_size=80))
def test_any_command_can_be_read(path: bytes, command: str) -> None:
    is_run(path, command)
