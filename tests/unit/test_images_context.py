"""Build contexts are whole, the same for the same content, and never follow what they carry."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.sandbox import context
from runner.sandbox.engine import context_filter
from runner.sandbox.layers import File


def opened(parts: Iterable[bytes]) -> tarfile.TarFile:
    return tarfile.open(fileobj=io.BytesIO(b"".join(parts)))


def archive(*entries: tuple[str, bytes | None, str]) -> io.BytesIO:
    """A tar of (path, content, link target); neither content nor target is a directory."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as made:
        for path, content, link in entries:
            entry = tarfile.TarInfo(path)
            entry.mode, entry.mtime = 0o664, 99
            if link:
                entry.type, entry.linkname = tarfile.SYMTYPE, link
            elif content is None:
                entry.type = tarfile.DIRTYPE
            else:
                entry.size = len(content)
            made.addfile(entry, io.BytesIO(content or b""))
    out.seek(0)
    return out


names = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=160).filter(
    lambda name: name not in {".", ".."}
)


@settings(max_examples=50)
@given(st.dictionaries(names, st.binary(max_size=1200), max_size=5))
def test_files_come_out_as_they_went_in(files: dict[str, bytes]) -> None:
    given_files = [File(name, content, 0o755) for name, content in files.items()]
    with opened(context.pack(context.of_files(given_files))) as made:
        assert {m.name: made.extractfile(m).read() for m in made} == files  # type: ignore[union-attr]  # regular
        assert all(m.mode == 0o755 and m.uid == 0 for m in made)


def test_an_archive_is_carried_over_with_plain_modes_and_links_as_links() -> None:
    long = "d/" + "x" * 150
    source = archive(("d", None, ""), (long, b"1", ""), ("up", None, "../../etc"), ("caf\udce9", b"2", ""))
    with opened(context.pack(context.of_archive(source, "workspace/"))) as made:
        found = {m.name: m for m in made}
    assert set(found) == {
        "workspace",
        "workspace/d",
        f"workspace/{long}",
        "workspace/up",
        "workspace/caf\udce9",
    }
    assert found["workspace/up"].linkname == "../../etc"
    assert found["workspace/d"].mode == 0o755
    assert found[f"workspace/{long}"].mode == 0o644
    assert len({m.mtime for m in made}) <= 1


def test_what_is_not_wanted_is_left_out() -> None:
    keep = context_filter("# remark\n\ndocs\n*.md\n!README.md\n")
    source = archive(
        ("docs/a.txt", b"", ""), ("x.md", b"", ""), ("README.md", b"", ""), ("src/a.py", b"", "")
    )
    with opened(context.pack(context.of_archive(source, "", keep))) as made:
        assert made.getnames() == ["README.md", "src/a.py"]


def test_a_stream_that_breaks_off_is_an_error() -> None:
    whole = archive(("a", b"x" * 5000, "")).getvalue()
    for broken in (b"", whole[:1000]):
        with pytest.raises(tarfile.TarError):
            list(context.of_archive(io.BytesIO(broken), ""))


def test_hard_links_and_devices_are_refused() -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as made:
        entry = tarfile.TarInfo("x")
        entry.type, entry.linkname = tarfile.LNKTYPE, "/etc/passwd"
        made.addfile(entry)
    out.seek(0)
    with pytest.raises(tarfile.TarError, match="not a file"):
        list(context.of_archive(out, ""))


def test_a_file_of_this_host_is_read_in_pieces(tmp_path: Path) -> None:
    path = tmp_path / "big"
    path.write_bytes(b"0123456789" * 300_000)
    pieces = list(context.pack(context.of_disk(path, "claude")))
    assert max(len(piece) for piece in pieces) <= 1024 * 1024
    with opened(pieces) as made:
        (member,) = made
        assert (member.name, member.size, member.mode) == ("claude", 3_000_000, 0o755)
