"""YAML as values that know their lines, and everything about YAML that is refused."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from runner.tasks import source
from runner.tasks.source import read, shown
from tests.support import within


def test_values_and_their_lines() -> None:
    document = read("name: night\ntasks:\n  - id: one\n    prompt: |\n      a\n      b\n  - {id: two}\n")
    assert document.data == {"name": "night", "tasks": [{"id": "one", "prompt": "a\nb\n"}, {"id": "two"}]}
    assert not document.problems
    assert document.line(("tasks", 0, "prompt")) == 4
    assert document.line(("tasks", 1, "id")) == 7
    assert document.line(("tasks", 1, "absent", "deeper")) == 7
    assert document.line(("absent",)) == 1


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("on", "on"),
        ("yes", "yes"),
        ("1:30", "1:30"),
        ("2026-01-01", "2026-01-01"),
        ("0x1F", "0x1F"),
        ("1_000", "1_000"),
        (".inf", ".inf"),
        ("true", True),
        ("False", False),
        ("7", 7),
        ("-7", -7),
        ("1.5", 1.5),
        ("'7'", "7"),
        ("! 7", "7"),
        ("1e999", "1e999"),
        ("9" * 5000, "9" * 5000),
    ],
)
def test_scalars_follow_yaml_1_2(text: str, value: object) -> None:
    data = read(f"x: {text}").data
    assert data == {"x": value}
    assert isinstance(data, dict)
    assert type(data["x"]) is type(value)


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("", None, "empty"),
        ("# only words\n", None, "empty"),
        ("a: 1\nb: 2\na: 3\n", 3, "'a' stands here twice"),
        ("a: 1\n7: x\n", 2, "a key that is not text"),
        ("a: 1\n[x]: y\n", 2, "a key that is not text"),
        ("a: 1\nb:\n", 2, "'b' has no value"),
        ("a:\n - 1\n -\n", 3, "an item of a list is empty"),
        ("a: 1\n---\nb: 2\n", 2, "a second document"),
        ("a: 1\nb: !!python/object:os.system x\n", 2, "tag"),
        ("a: 1\nb: !!str 5\n", 2, "tag"),
        ("a: 1\nb: !mine {x: 1}\n", 2, "tag"),
        ("a: &a [*a]\n", 1, "contains itself"),
        ("a: 1\nb: *nothing\n", 2, "nothing"),
        ("a: 1\n\tb: 2\n", 2, "not YAML"),
        ("a: 1\nb: c: d\n", 2, "not YAML"),
        ("a: 'open\n", None, "not YAML"),
        ("a: 1\nb: \x07\n", 2, "U\\+0007"),
        ('a: 1\nb: "x\\0y"\n', 2, "a character that no command"),
        ("a: 1\nb: \udc80\n", 2, "not UTF-8"),
        ("a: " + "[" * 100 + "]" * 100, 1, "nested"),
    ],
)
def test_refused_with_its_line(text: str, line: int | None, words: str) -> None:
    problems = read(text).problems
    assert len(problems) == 1
    assert line is None or problems[0].line == line
    with pytest.raises(AssertionError, match=words):
        raise AssertionError(problems[0].message)


def test_an_alias_is_written_out_with_its_own_line() -> None:
    document = read("limits: &small\n  memory: 1GiB\ntasks:\n  - limits: *small\n")
    assert document.data == {"limits": {"memory": "1GiB"}, "tasks": [{"limits": {"memory": "1GiB"}}]}
    assert document.line(("tasks", 0, "limits", "memory")) == 4


def test_aliases_that_multiply_are_refused_quickly() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    with within(10):
        document = read("\n".join(lines))
        assert "too many values" in document.problems[0].message


def test_one_large_text_many_times_is_refused() -> None:
    text = f"big: &big {'x' * 1_000_000}\nall: [{', '.join(['*big'] * 100)}]"
    assert "too many values" in read(text).problems[0].message


def test_too_many_values_and_too_much_text_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "MOST_VALUES", 10)
    assert "more than 10 values" in read("[" + "1, " * 100 + "]").problems[0].message
    monkeypatch.setattr(source, "LARGEST", 10)
    assert "larger than" in read("x" * 11).problems[0].message


def test_the_parser_in_python_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "a: 1\nb: [on, 'x', ! 5]\nc: |\n  words\nd: &d {e: true}\nf: *d\n"
    quick = read(text)
    monkeypatch.setattr(source, "_LOADER", yaml.SafeLoader)
    assert read(text) == quick
    assert read("a: 1\nb: [").problems[0].line is not None
    assert read('a: 1\nb: "\\ud800"\n').problems


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner),
    max_leaves=20,
)


@given(st.text() | values.map(lambda value: yaml.safe_dump(value, allow_unicode=True)))
def test_reading_never_raises(text: str) -> None:
    document = read(text)
    assert bool(document.lines) or document.problems


@given(st.text(alphabet="ab:-[]{}&*!|>'\"#\n \t,?%@`"))
def test_reading_yaml_like_noise_never_raises(text: str) -> None:
    read(text)


@given(st.text())
def test_shown_is_one_inert_short_line(text: str) -> None:
    assert shown(text).isprintable()
    assert len(shown(text)) <= 60
