"""What touches the judgement is read from a diff as git writes it; ordinary work shows nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.gather import diffs, tampering
from runner.gather.tampering import Sign, signs

HEAD = "diff --git a/{0} b/{0}\nindex 1..2 100644\n--- a/{0}\n+++ b/{0}\n@@ -1,9 +1,9 @@\n"
NEW = "diff --git a/{0} b/{0}\nnew file mode 100644\n--- /dev/null\n+++ b/{0}\n@@ -0,0 +1,9 @@\n"


def diff(path: str, body: str, head: str = HEAD) -> list[bytes]:
    return (head.format(path) + body).encode().split(b"\n")


def kinds(path: str, body: str, head: str = HEAD, check: str = "pytest -q") -> set[str]:
    found = signs(diff(path, body, head), check)
    return {f"{sign.kind}!" if sign.steers else sign.kind for sign in found}


TEST = "tests/test_a.py"
CHEATS = {
    "a deleted test": (TEST, "-def test_a():\n-    assert f() == 1\n def test_b():\n", {"test-deleted"}),
    "a deleted file": (TEST, "deleted file mode 100644\n-def test_a():\n", {"test-deleted"}),
    "a deleted class": (TEST, "-class TestA:\n-    pass\n", {"test-deleted"}),
    "a Go test": ("a_test.go", "-func TestA(t *testing.T) {\n-}\n", {"test-deleted"}),
    "a JavaScript test": ("a.test.ts", "-  it('adds', () => {\n-  })\n", {"test-deleted"}),
    "a Rust test": ("tests/a.rs", "-#[test]\n-fn adds() {}\n", {"test-deleted"}),
    "a skip mark": (TEST, "+@pytest.mark.skip\n def test_a():\n     pass\n", {"test-skipped"}),
    "an expected failure": (
        TEST,
        "+    @unittest.expectedFailure\n     def test_a(self):\n",
        {"test-skipped"},
    ),
    "a skip inside": (TEST, " def test_a():\n+    pytest.skip('no')\n", {"test-skipped"}),
    "a whole module": (TEST, "+pytestmark = pytest.mark.xfail\n import a\n", {"test-skipped"}),
    "only another one": ("a.spec.js", "+test.only('b', () => {})\n test('a', () => {})\n", {"test-skipped"}),
    "another demand": (
        TEST,
        " def test_a():\n-    assert f() == 1\n+    assert f() == 2\n",
        {"test-changed"},
    ),
    "an exit": ("a/__init__.py", "+import os\n+os._exit(0)\n", {"exit-code-forged"}),
    "an exit in a function": ("a/b.py", " def f():\n+    os._exit(0)\n", {"exit-code-forged"}),
    "an exit at the end": ("a/b.py", "+atexit.register(lambda: os._exit(0))\n", {"exit-code-forged"}),
    "an exit when loaded": ("a/b.py", "+sys.exit(0)\n", {"exit-code-forged"}),
    "an exit of a test": ("a_test.go", "+func init() {\n+\tos.Exit(0)\n+}\n", {"exit-code-forged"}),
    "a start of Python": ("sitecustomize.py", "+import x\n", {"exit-code-forged", "check-config"}),
    "a hook": (
        "conftest.py",
        "+def pytest_sessionfinish(session, exitstatus):\n+    session.exitstatus = 0\n",
        {"exit-code-forged", "check-config"},
    ),
    "a report": (
        "conftest.py",
        "+def pytest_runtest_makereport(item, call):\n+    rep = yield\n+    rep.outcome = ''\n",
        {"exit-code-forged", "check-config"},
    ),
    "a narrower check": ("pytest.ini", "+addopts = --deselect tests/test_a.py::test_a\n", {"check-config!"}),
    "nothing collected": ("conftest.py", "+collect_ignore = ['test_a.py']\n", {"check-config!"}),
}


@pytest.mark.parametrize("name", CHEATS)
def test_what_touches_the_judgement_is_seen(name: str) -> None:
    path, body, wanted = CHEATS[name]
    assert kinds(path, body, NEW if path == "conftest.py" else HEAD) == wanted


PLAIN = {
    "a moved test": (
        TEST,
        "-def test_a():\n-    pass\n def test_b():\n+def test_a():\n+    pass\n",
        HEAD,
        set(),
    ),
    "a new test": (
        TEST,
        " def test_b():\n     assert 1\n+def test_a():\n+    assert f() == 1\n",
        HEAD,
        set(),
    ),
    "a new test that is skipped": (TEST, "+@pytest.mark.skip\n+def test_a():\n+    pass\n", HEAD, set()),
    "a new test that skips": (TEST, " def test_b():\n+def test_a():\n+    pytest.skip('no')\n", HEAD, set()),
    "a new file of tests": (TEST, "+import pytest\n+pytestmark = pytest.mark.skipif(1)\n", NEW, set()),
    "a demand more": (TEST, " def test_a():\n     assert f() == 1\n+    assert f(2) == 2\n", HEAD, set()),
    "another indentation": (TEST, "-    assert f() == 1\n+        assert f() == 1\n", HEAD, set()),
    "a command's exit": ("a/cli.py", " def main():\n+    sys.exit(0)\n", HEAD, set()),
    "a child's exit": ("a/b.py", "+    if os.fork() == 0:\n+        os._exit(0)\n", HEAD, set()),
    "words about it": ("a/b.py", "+# never call os._exit(0) here\n", HEAD, set()),
    "a fixture": ("conftest.py", "+@pytest.fixture\n+def db():\n+    return 1\n", HEAD, {"check-config"}),
    "an option of pytest": (
        "conftest.py",
        "+def pytest_addoption(parser):\n+    pass\n",
        HEAD,
        {"check-config"},
    ),
    "a dependency": ("pyproject.toml", '+dependencies = ["x"]\n', HEAD, {"check-config"}),
    "work": ("a/b.py", "-def f():\n-    return 1\n+def f():\n+    return 2\n", HEAD, set()),
}


@pytest.mark.parametrize("name", PLAIN)
def test_ordinary_work_shows_nothing_that_counts(name: str) -> None:
    path, body, head, wanted = PLAIN[name]
    assert kinds(path, body, head) == wanted


def test_a_file_that_the_check_names_configures_it() -> None:
    body = " test:\n-\tpytest -q\n+\ttrue\n"
    assert kinds("Makefile", body, check="make test") == {"check-config!"}
    assert kinds("Makefile", body, check="pytest") == {"check-config"}
    assert kinds("ci/run.sh", "-python -m unittest\n+echo ok\n", check="sh ci/run.sh") == {"check-config!"}
    assert kinds("ci/run.sh", "-python -m unittest\n+python -m unittest -v\n", check="sh ci/run.sh") == {
        "check-config"
    }
    assert kinds("ci/run.sh", "-pytest -q\n+true\n", check="sh other.sh") == set()


def test_what_is_protected_is_marked_so() -> None:
    (found,) = signs(diff(TEST, "-def test_a():\n"), "pytest", ("./tests/",))
    assert found == Sign(kind="test-deleted", path=TEST, what="test_a", restored=True)
    assert not signs(diff(TEST, "-def test_a():\n"), "pytest", ("test",))[0].restored


def test_a_test_that_moves_to_another_file_is_not_gone() -> None:
    both = diff(TEST, "-def test_a():\n-    pass\n") + diff("tests/test_b.py", "+def test_a():\n+    pass\n")
    assert signs(both) == ()


ADDS = "def test_adds():\n    total = f(1)\n    assert total == 1\n    assert f(2) == 2\n"
GONE = HEAD.replace("index", "deleted file mode 100644\nindex")


def removed(text: str) -> str:
    return "".join(f"-{row}\n" for row in text.splitlines())


def added(text: str) -> str:
    return removed(text).replace("\n-", "\n+").replace("-", "+", 1)


RENAMED = "-def test_adds():\n+def test_sums():\n     total = f(1)\n"
OTHER = "tests/test_b.py"
MOVES: dict[str, tuple[list[bytes], set[str]]] = {
    "under another name": (diff(TEST, f"{RENAMED}     assert total == 1\n"), set()),
    "and weaker": (diff(TEST, f"{RENAMED}-    assert total == 1\n+    assert total\n"), {"test-deleted"}),
    "and skipped": (
        diff(TEST, f"+@pytest.mark.skip\n{RENAMED}     assert total == 1\n"),
        {"test-deleted", "test-skipped"},
    ),
    "and no test": (diff(TEST, RENAMED.replace("test_sums", "sums")), {"test-deleted"}),
    "as a class": (
        diff(TEST, "-class TestA:\n+class TestB:\n     def test_a(self):\n         assert f()\n"),
        set(),
    ),
    "with another signature": (
        diff(TEST, "-def test_a():\n+def test_a(\n+    db,\n+):\n     assert f() == 1\n"),
        set(),
    ),
    "to another file": (diff(TEST, removed(ADDS)) + diff(OTHER, added(ADDS)), set()),
    "with its file": (diff(TEST, removed(ADDS), GONE) + diff(OTHER, added(ADDS), NEW), set()),
    "with its file, and another name": (
        diff(TEST, removed(ADDS), GONE) + diff(OTHER, added(ADDS.replace("adds", "sums")), NEW),
        set(),
    ),
    "into a class": (
        diff(TEST, removed(ADDS)) + diff(OTHER, "+class TestAll:\n" + added(ADDS).replace("+", "+    "), NEW),
        set(),
    ),
    "with its file, and weaker": (
        diff(TEST, removed(ADDS), GONE) + diff(OTHER, added(ADDS.replace("f(2) == 2", "f(2)")), NEW),
        {"test-changed"},
    ),
    "with its file, and skipped": (
        diff(TEST, removed(ADDS), GONE) + diff(OTHER, added(f"@pytest.mark.skip\n{ADDS}"), NEW),
        {"test-skipped"},
    ),
    "once of twice": (
        diff(TEST, removed(ADDS)) + diff("tests/test_c.py", removed(ADDS)) + diff(OTHER, added(ADDS)),
        {"test-deleted"},
    ),
    "where nobody looks": (diff(TEST, removed(ADDS)) + diff("tests/old.py", added(ADDS)), {"test-deleted"}),
    "into a class of none": (
        diff(TEST, removed(ADDS)) + diff(OTHER, "+class _Old:\n" + added(ADDS).replace("+", "+    "), NEW),
        {"test-deleted"},
    ),
    "into a class of its file": (
        diff(TEST, removed(ADDS) + "+class Old(object):\n" + added(ADDS).replace("+", "+    ")),
        {"test-deleted"},
    ),
    "into a class of another kind": (
        diff(TEST, removed(ADDS) + "+class Adds(Case):\n" + added(ADDS).replace("+", "+    ")),
        set(),
    ),
    "into a branch": (
        diff(TEST, removed(ADDS) + "+if False:\n" + added(ADDS).replace("+", "+    ")),
        {"test-deleted"},
    ),
    "into a string": (diff(TEST, removed(ADDS) + "+_ = '''\n" + added(ADDS) + "+'''\n"), {"test-deleted"}),
    "behind strings": (
        diff(TEST, removed(ADDS) + '+"""Of all."""\n+X = """\n+y\n+"""\n' + added(ADDS)),
        set(),
    ),
    "to the attic": (diff(TEST, removed(ADDS)) + diff("attic/test_b.py", added(ADDS)), {"test-moved"}),
    "as a marked test": (
        diff("tests/a.rs", "-#[test]\n-fn adds() {}\n") + diff("tests/b.rs", "+#[test]\n+fn adds() {}\n"),
        set(),
    ),
    "as a JavaScript test": (
        diff("a.test.ts", "-it('adds', () => {\n+it('sums', () => {\n   expect(f(1)).toBe(1)\n })\n"),
        set(),
    ),
}


@pytest.mark.parametrize("name", MOVES)
def test_a_test_that_moves_is_gone_only_if_it_is_weaker(name: str) -> None:
    rows, wanted = MOVES[name]
    assert {sign.kind for sign in signs(rows, "pytest -q")} == wanted


@pytest.mark.parametrize(
    ("check", "place", "wanted"),
    [
        ("pytest -q tests", "attic/test_a.py", "test-deleted"),
        ("ruff check . && pytest tests", "attic/test_a.py", "test-deleted"),
        ("pytest 'tests/test_*.py'", "attic/test_a.py", "test-deleted"),
        ("pytest ./tests/", "tests/deep/test_a.py", ""),
        ("python -m unittest discover -s tests", "attic/test_a.py", "test-deleted"),
        ("python -m unittest discover --start-directory=tests", "attic/test_a.py", "test-deleted"),
        ("python -m unittest tests.test_a.TestA", "tests/test_b.py", "test-deleted"),
        ("python -m unittest tests", "tests/test_b.py", ""),
        ("python -m pytest tests src", "src/test_a.py", ""),
        ("pytest tests/test_a.py::test_adds", "tests/test_b.py", "test-deleted"),
        ("make -C tests check", "attic/test_a.py", "test-deleted"),
        ("make tests", "attic/test_a.py", "test-moved"),
        ("make test", "tests/deep/test_a.py", ""),
        *((check, "pkg/tests/test_a.py", "test-moved") for check in ("tox", "nox", "python -m unittest")),
        ("./run_tests.sh", "test_a.py", "test-moved"),
        ("T=tests/x pytest -k 'not tests' --cov tests", "attic/test_a.py", "test-moved"),
        ("pytest", "attic/test_a.py", "test-moved"),
        ("pytest .", "attic/test_a.py", ""),
        ("pytest src", "src/test_a.py", ""),
        *(("pytest", place, "test-deleted") for place in ("tests/.old/test_a.py", "build/test_a.py")),
        *(("tox", place, "test-deleted") for place in ("x.egg/test_a.py", "venv/test_a.py")),
    ],
)
def test_a_test_that_moves_to_where_the_check_does_not_look_is_gone(
    check: str, place: str, wanted: str
) -> None:
    rows = diff(TEST, removed(ADDS)) + diff(place, added(ADDS))
    assert [sign.kind for sign in signs(rows, check)] == [wanted] * bool(wanted)


GO = "func TestAdds(t *testing.T) {\n\tt.Fatal(1)\n}\n"
JAVASCRIPT = "test('adds', () => {\n  expect(f(1)).toBe(1)\n})\n"


@pytest.mark.parametrize(
    ("check", "old", "new", "text", "wanted"),
    [
        ("go test ./...", "parser/a_test.go", "internal/parser/a_test.go", GO, ""),
        ("go vet ./... && go test ./pkg/...", "pkg/a_test.go", "internal/a_test.go", GO, "test-deleted"),
        ("go test ./...", "a_test.go", "testing/a.go", GO, "test-deleted"),
        ("go test ./...", "a_test.go", "_old/a_test.go", GO, "test-deleted"),
        ("go test ./...", "a_test.go", "build/a_test.go", GO, ""),
        ("npx jest", "src/a.test.js", "test/a.test.js", JAVASCRIPT, "test-moved"),
        ("npx vitest run", "src/a.test.js", "src/b/a.test.js", JAVASCRIPT, ""),
        ("npm test", "test/a.test.js", "src/a.test.js", JAVASCRIPT, "test-moved"),
        ("npx mocha 'test/**/*.js'", "test/a.test.js", "src/a.test.js", JAVASCRIPT, "test-deleted"),
        ("npx jest", "src/a.test.js", "e2e/a.js", JAVASCRIPT, "test-moved"),
        ("npx jest", "src/a.test.js", "node_modules/a.test.js", JAVASCRIPT, "test-deleted"),
    ],
)
def test_in_other_languages_too(check: str, old: str, new: str, text: str, wanted: str) -> None:
    rows = diff(old, removed(text)) + diff(new, added(text))
    assert {sign.kind for sign in signs(rows, check)} - {"check-config"} == ({wanted} if wanted else set())


def test_where_it_went_is_told() -> None:
    (found,) = signs(diff(TEST, removed(ADDS)) + diff("attic/test_a.py", added(ADDS)), "make test")
    assert found == Sign(kind="test-moved", path=TEST, what="test_adds, now in attic/test_a.py")


@pytest.mark.parametrize(
    "body",
    [
        "+@pytest.mark.skip\n" * 20_000,
        "+    pytest.skip('x')\n" * 20_000,
        "-def test_a():\n"
        + "-    pytest.skip(1)\n" * 9000
        + "+def test_a():\n"
        + "+    pytest.skip(2)\n" * 9000,
        "-def test_a():\n" * 9000
        + "+class TestA:\n"
        + "+ __test__ = False\n" * 9000
        + "+ def test_a():\n" * 9000,
    ],
)
def test_much_of_one_kind_is_looked_through_once(body: str) -> None:
    """Where each line was compared with all others, this took minutes."""
    assert "unread" not in {sign.kind for sign in signs(diff(TEST, body), "pytest")}


def test_names_with_spaces_and_quotes_are_read() -> None:
    quoted = HEAD.replace("a/{0} b/{0}", '"a/{0}" "b/{0}"')
    assert signs(diff("tests/test a.py", "-def test_a():\n"))[0].path == "tests/test a.py"
    assert signs(diff("tests/test_\\303\\244.py", "-def test_a():\n", quoted))[0].path.startswith(
        "tests/test_"
    )


def test_reading_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    many = diff(TEST, "".join(f"-def test_{n}():\n" for n in range(50)))
    assert len(signs(many)) == tampering.MOST
    monkeypatch.setattr(diffs, "ROWS", 10)
    assert signs(many)[-1].kind == "unread"
    monkeypatch.undo()
    monkeypatch.setattr(diffs, "LARGEST", 100)
    assert signs(many)[-1].kind == "unread"


@given(
    st.lists(
        st.binary(max_size=60) | st.sampled_from(diff(TEST, "-def test_a():\n+@skip\n@@ x\n")), max_size=30
    )
)
def test_any_bytes_can_be_read(rows: list[bytes]) -> None:
    assert all(sign.kind for sign in signs(rows, "make test", ("tests",)))
