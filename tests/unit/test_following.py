"""A file that grows is read to its end, whole line by whole line, whenever and however it was written."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.commands import looking


@given(st.lists(st.binary(max_size=20).map(lambda line: line.replace(b"\n", b"")), max_size=20))
def test_what_does_not_grow_is_read_as_it_stands(lines: list[bytes]) -> None:
    with tempfile.NamedTemporaryFile() as file:
        file.write(b"\n".join(lines))
        file.flush()
        found = list(looking.lines(Path(file.name)))
    assert b"".join(found) == b"\n".join(lines)
    assert [line.count(b"\n") for line in found[:-1]] == [1] * len(found[:-1])


def test_half_a_line_is_kept_until_the_rest_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looking, "LOOK", 0.0)
    file, written = tmp_path / "log", iter([b"o", b"ne\ntwo", b"", b"\nth", b"ree"])
    file.touch()

    def goes_on() -> bool:
        piece = next(written, None)
        with file.open("ab") as opened:
            opened.write(piece or b"")
        return piece is not None

    assert list(looking.lines(file, goes_on)) == [b"one\n", b"two\n", b"three"]
