"""What keeps tests of Python's from being run where they stand is seen; what only looks so is not."""

from __future__ import annotations

from difflib import unified_diff
from textwrap import dedent, indent

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.gather.diffs import LONGEST, files_of
from runner.gather.tampering import signs
from runner.gather.walls import stands

ONE = "def test_one():\n    assert one() == 1\n"
TWO = "def test_two():\n    assert two() == 2\n"
DOING = "".join(f'def test_{number}():\n    """It does."""\n    {number}()\n' for number in range(3))
DEEP = indent(ONE, "    ")
PROSE = "\n".join(f"Word {number} of it." for number in range(40))


def change(old: str, new: str, around: int = 30) -> list[bytes]:
    """A diff of one file of tests; new where it was empty."""
    head = ["diff --git a/tests/test_a.py b/tests/test_a.py", *(["new file mode 100644"] if not old else [])]
    rows = unified_diff(old.splitlines(), new.splitlines(), lineterm="", n=around)
    return [row.encode() for row in (*head, *rows)]


def found(old: str, new: str, around: int = 30) -> set[str]:
    return {sign.kind for sign in signs(change(old, new, around), "pytest")}


DOCUMENTED = f'''def test_one():
    """It does one.

    And more.
    """
    assert one() == 1


{TWO}'''
FINE = {
    "a docstring ends otherwise, and the next test has another name": (
        DOCUMENTED,
        DOCUMENTED.replace('    And more.\n    """', '    And more than that."""').replace("_two", "_2"),
    ),
    "the same, and a documented test comes behind it": (
        f'{DOING}def test_one():\n    """It does.\n{PROSE}\n    And more.\n    """\n    one()\n',
        f'def test_one():\n    """It does.\n{PROSE}\n    And more."""\n    one()\n\n\n{DOING}',
    ),
    "a comment with quotes": (TWO, "# uses ''' for text\n" + TWO.replace("_two", "_2")),
    "quotes in a string": (TWO, "Q = \"'''\"\n" + TWO.replace("_two", "_2") + "R = '\\'\"\"\"'\n"),
    "quotes behind what is looked at of a line": (
        TWO,
        f'X = """{"x" * LONGEST}"""\n{TWO.replace("_two", "_2")}Y = """{"x" * LONGEST}"""\n',
    ),
    "a function before it": (
        TWO,
        f"def f(\n    x,\n):\n    return [\n        x\n    ]\n\n\n{TWO}".replace("_two", "_2"),
    ),
    "a class that inherits no more of `object`": (
        f"class Mixin(object):\n{DEEP}",
        f"class Mixin:\n{DEEP}",
    ),
    "a function around it has another name": (f"def make():\n{DEEP}", f"def build():\n{DEEP}"),
    "a mark that it had before": (
        f"@pytest.mark.skip\nclass TestA:\n{DEEP}",
        f"@pytest.mark.skip\nclass TestB:\n{DEEP}",
    ),
    "a new test of a class that skips": (
        f"class TestA:\n{DEEP}",
        f"class TestA:\n{DEEP}    def test_b():\n        pytest.skip()\n",
    ),
}


@pytest.mark.parametrize("name", FINE)
def test_what_only_looks_so_is_not_told(name: str) -> None:
    assert found(*FINE[name]) == set()


SHUT_IN = {
    **{
        f"below `{word}`": (ONE, f"{before}{word}:\n{DEEP}")
        for before, word in (
            ("", "if False"),
            ("try:\n    pass\n", "except OSError"),
            ("try:\n    pass\n", "finally"),
            ("", "try"),
            ("", "with x"),
            ("", "while x"),
        )
    },
    "below `case`": (ONE, f"match 1:\n    case 2:\n{indent(DEEP, '    ')}"),
    "in a class below `if`": (ONE, f"if False:\n    class TestAll:\n{indent(DEEP, '    ')}"),
    "behind what stands in brackets": (ONE, f"if False:\n    x = (\n1)\n    '''\nx\n'''\n# x\n{DEEP}"),
    "in a string": (ONE, f"'''\n{ONE}'''\n"),
    "in a string behind others": (ONE, f'"""Of one."""\nX = """\nx\n"""\n_ = """\n{ONE}"""\n'),
    "in a string, where a long line is before it": (ONE, f"X = '{'x' * LONGEST}'; '''\n{ONE}'''\n"),
    "in a string, of which the middle is not shown": (
        f"{ONE}{TWO * 40}",
        f"'''\n{ONE}{TWO * 40}'''\n",
    ),
    "in a docstring that is drawn out": (
        f'def f():\n    """It does.\n    """\n{ONE}',
        f'def f():\n    """It does.\n{ONE}    """\n',
    ),
    "in a class of none, where it was in one of tests": (
        f"class AllTests(TestCase):\n{DEEP}",
        f"class All:\n{DEEP}",
    ),
}


@pytest.mark.parametrize("name", SHUT_IN)
def test_a_test_that_is_shut_in_is_gone(name: str) -> None:
    assert found(*SHUT_IN[name]) == {"test-deleted"}


SKIPPED = {
    "a class that is not looked at": f"class TestA:\n    __test__ = False\n\n{DEEP}",
    "one of which that is said below": f"class TestA:\n{DEEP}\n    __test__ = False\n",
    "a class that is skipped": f"@unittest.skip('')\nclass TestA:\n{DEEP}",
    "a module that is skipped": f"pytestmark = pytest.mark.skip\n{ONE}",
}


@pytest.mark.parametrize("name", SKIPPED)
def test_a_test_that_is_put_into_what_is_skipped_is_skipped(name: str) -> None:
    """In its own file, and in a new one."""
    assert found(ONE, SKIPPED[name]) == {"test-skipped"}
    elsewhere = [row.replace(b"test_a.py", b"test_b.py") for row in change("", SKIPPED[name])]
    told = signs(change(ONE, "") + elsewhere, "pytest")
    assert {sign.kind for sign in told} == {"test-skipped"}


def test_a_class_is_skipped_that_was_there_before() -> None:
    old = f"class TestA:\n{DEEP}"
    new = f"{old}    def test_new(self):\n        pass\n\n    __test__ = False\n"
    assert found(old, new) == {"test-skipped"}
    assert found(old, f"{old}# pytest.skip('all')\n") == set()


PIECES = st.sampled_from(
    [
        '"""',
        "'''",
        '"',
        "'",
        "\\",
        "#",
        "(",
        ")",
        "\n",
        "\n    ",
        "x",
        "def test_a():\n",
        "if x:\n",
        "class A:\n",
    ]
)


@given(st.lists(PIECES, max_size=30).map("".join), st.lists(PIECES, max_size=30).map("".join))
def test_each_line_has_a_place(old: str, new: str) -> None:
    (file,), whole = files_of(change(dedent(old) or "x", new))
    assert whole
    assert len(stands(file.rows)) == len(file.rows)
