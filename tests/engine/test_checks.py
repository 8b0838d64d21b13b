"""Checks in real containers: by name, with hidden tests, on the base too, as often as it takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support import Corral, Done, git, make_repo

SUITE = """\
import sys, unittest
sys.path.insert(0, ".")
import tests.{name} as asked
result = unittest.TextTestRunner().run(unittest.defaultTestLoader.loadTestsFromModule(asked))
bad = len(result.failures + result.errors)
with open("{report}", "w") as file:
    file.write("<testsuite>" + "".join(
        f'<testcase name="{{n}}">{{"<failure/>" * (n < bad)}}</testcase>' for n in range(result.testsRun)
    ) + "</testsuite>")
sys.exit(not result.wasSuccessful())
"""
VISIBLE = """\
import unittest, calc
class T(unittest.TestCase):
    def test_zero(self): self.assertEqual(calc.add(0, 0), 0)
"""
HIDDEN = VISIBLE.replace("test_zero", "test_add").replace("calc.add(0, 0), 0", "calc.add(1, 2), 3")
CHECK = {
    "visible": {"run": "python3 ci/visible.py", "junit": "out.xml"},
    "hidden": 'python3 ci/hidden.py && test -s "$CORRAL_JUNIT"',
}
FIX = "sed -i 's/a - b/a + b/' calc.py"
CASES: dict[str, tuple[Any, str]] = {
    "fixes": (FIX, "accepted"),
    "misses": ("sed -i 's/a - b/a * b/' calc.py", "rejected"),
    "looks": (f"{FIX}; ls tests ci > seen; ! grep -rq test_add . /run/corral 2>/dev/null", "accepted"),
    "exits": ("echo 'import os; os._exit(0)' > calc.py", "rejected"),
    "stands-in": ("printf 'def main(*a): pass\\n' > unittest.py", "rejected"),
    "may": ({"sh": f"{FIX}; touch conftest.py", "paths": ["calc.py", "conftest.py"]}, "accepted"),
    "only-with-its-own": (
        {"sh": "echo 'check: ; true' > Makefile", "check": "make -f Makefile check"},
        "rejected",
    ),
    "brings-its-report": (
        {
            "sh": "echo '<testsuite><testcase name=\"t\"/></testsuite>' > out.xml",
            "check": {"run": "true", "junit": "out.xml"},
        },
        "rejected",
    ),
    "says-so": (
        {
            "sh": "echo 'check: ; true' > Makefile",
            "check": "sh -c 'grep -q true Makefile'",
            "paths": ["Makefile"],
        },
        "accepted",
    ),
}


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    """One run of all the cases."""
    folder = tmp_path_factory.mktemp("checks")
    repo = make_repo(folder / "repo")
    files = {
        "calc.py": "def add(a, b):\n    return a - b\n",
        "tests/visible.py": VISIBLE,
        "tests/__init__.py": "",
        "ci/visible.py": SUITE.format(name="visible", report="out.xml"),
        "ci/hidden.py": SUITE.format(name="hidden", report="/home/agent/.corral-junit.xml"),
        "Makefile": "check: ; false\n",
    }
    for path, text in files.items():
        (repo / path).parent.mkdir(exist_ok=True)
        (repo / path).write_text(text)
    git(repo, "add", "-A")
    git(repo, "commit", "-qm", "with a mistake")
    (folder / "unseen" / "tests").mkdir(parents=True)
    (folder / "unseen" / "tests" / "hidden.py").write_text(HIDDEN)
    usual = {"check": CHECK, "check_base": True, "protect": ["tests/"], "hidden": "unseen"}
    tasks = {
        name: {**usual, "sh": given} if isinstance(given, str) else {**usual, **given}
        for name, (given, _) in CASES.items()
    }
    return Corral(folder / "home").run(repo, tasks)


@pytest.mark.parametrize("task", CASES)
def test_verdict(done: Done, task: str) -> None:
    assert done.verdicts[task] == CASES[task][1], done.attempt(task)


def checks(done: Done, task: str) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in done.attempt(task)["checks"]}


def test_what_differs_from_the_base_was_said_twice(done: Done) -> None:
    told = checks(done, "fixes")
    assert {name: (row["before"], row["runs"]) for name, row in told.items()} == {
        "visible": ("passed", 1),
        "hidden": ("failed", 2),
    }
    assert told["visible"]["tests"]["passed"] == told["hidden"]["tests"]["passed"] == 1
    missed = checks(done, "misses")["hidden"]
    assert (missed["runs"], missed["tests"]["failed"], missed["flaky"]) == (1, 1, False)


def test_exit_0_without_tests_is_named(done: Done) -> None:
    for task in ("exits", "brings-its-report"):
        assert [flag.partition(":")[0] for flag in done.attempt(task)["flags"]] == ["check-without-tests"]


def test_what_passes_only_with_its_own_files_is_named(done: Done) -> None:
    row = done.attempt("only-with-its-own")
    assert row["reason"].startswith("it passes only with the work's own Makefile")
    assert [flag.partition(":")[0] for flag in row["flags"]][-1] == "check-steered"


def test_hidden_tests_are_in_no_branch(done: Done) -> None:
    row = done.attempt("looks")  # which found them nowhere in its box either, or it would not be accepted
    listed = git(Path(row["repo"]), "ls-tree", "-r", "--name-only", row["branch"]).split()
    assert ("tests/visible.py" in listed, "tests/hidden.py" in listed) == (True, False)


def test_the_log_tells_checks_and_their_runs_apart(done: Done) -> None:
    home = Path(done.attempt("fixes")["repo"]).parent / "home"
    log = next(home.glob("runs/*/logs/fixes+do-fixes+1.check.log")).read_text()
    heads = [line for line in log.splitlines() if line.startswith("== ")]
    assert heads == ["== visible ==", "== hidden ==", "== hidden, run 2 =="]


def test_a_check_has_its_own_limits(corral: Corral, repo: Path) -> None:
    slow = {"run": "sleep 30", "time": "1s"}
    small = {"run": "head -c 60M /dev/zero | tail -n 1 > /dev/null", "memory": "32MiB"}
    tasks = {
        "slow": {"sh": "touch x", "check": slow},
        "small": {"sh": "touch x", "check": small},
        "thrice": {"sh": "touch x", "check": {"run": "test -e x", "runs": 3}},
    }
    done = corral.run(repo, tasks)
    assert done.attempt("slow")["reason"] == "the check took more than 1s"
    assert "memory limit" in done.attempt("small")["reason"]
    (thrice,) = done.attempt("thrice")["checks"]
    assert (thrice["runs"], thrice["before"], thrice["flaky"]) == (3, None, False)
