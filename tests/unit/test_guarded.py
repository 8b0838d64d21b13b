"""What a box wrote is read without following it anywhere, at no instant."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner import guarded
from runner.guarded import GuardedError, list_names, read_file
from tests.conftest import FULL
from tests.support import within

SECRET = b"secret of the host"
MOST = 1000


def _no_openat2(_top: int, _parts: tuple[str, ...], _flags: int) -> int:
    raise OSError(errno.ENOSYS, "Function not implemented")


@pytest.fixture(params=["openat2", "steps"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways to open: the kernel's strict call, and the walk where that is missing."""
    if request.param == "steps":
        monkeypatch.setattr(guarded, "open_strictly", _no_openat2)
    return str(request.param)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory that a box could write, beside a secret that it must not reach."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "result").write_bytes(SECRET)
    (tmp_path / "box" / "in").mkdir(parents=True)
    (tmp_path / "box" / "in" / "result").write_bytes(b"plain")
    return tmp_path / "box"


@pytest.mark.usefixtures("way")
def test_a_plain_file_is_read(place: Path) -> None:
    assert read_file(place, "in/result", MOST) == b"plain"
    assert read_file(place, "./in//result", 5) == b"plain"
    (place / "empty").touch()
    assert read_file(place, "empty", 0) == b""


def _sparse(file: Path) -> None:
    with file.open("wb") as made:
        made.truncate(1024**4)


def _socket(file: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(os.path.relpath(file))


TRAPS: dict[str, Callable[[Path], object]] = {
    "a link to /proc/self/environ": lambda file: file.symlink_to("/proc/self/environ"),
    "a link to /etc/shadow": lambda file: file.symlink_to("/etc/shadow"),
    "a link to the file beside it": lambda file: file.symlink_to("in/result"),
    "a link to itself": lambda file: file.symlink_to("trap"),
    "a FIFO": os.mkfifo,
    "a sparse terabyte": _sparse,
    "a directory": lambda file: file.mkdir(),
    "a socket": _socket,
    "one byte too many": lambda file: file.write_bytes(b"x" * (MOST + 1)),
    "nothing": lambda _file: None,
}


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("name", TRAPS)
def test_case_51_every_trap_is_a_typed_error_at_once(
    name: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    TRAPS[name](place / "trap")
    with within(1), pytest.raises(GuardedError) as refused:
        read_file(place, "trap", MOST)
    too_large = {"a sparse terabyte", "one byte too many"}
    expected = "missing" if name == "nothing" else "too-large" if name in too_large else "not-plain"
    assert refused.value.why == expected


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("path", ["link/result", "in/link/result"])
def test_no_directory_on_the_way_may_be_a_link(place: Path, path: str) -> None:
    for link in ("link", "in/link"):
        (place / link).symlink_to(place.parent / "outside")
    with pytest.raises(GuardedError, match="reached by a link"):
        read_file(place, path, MOST)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize(
    "path", ["", "/", ".", "..", "../outside/result", "in/../../outside/result", "/etc/passwd", "in/result\0"]
)
def test_a_path_that_leads_out_is_refused_before_it_is_tried(place: Path, path: str) -> None:
    with pytest.raises(GuardedError, match="does not name a file"):
        read_file(place, path, MOST)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("root", ["/", "/proc"])
def test_another_file_system_is_not_entered(root: str) -> None:
    path = "proc/version" if root == "/" else "self/status"
    with pytest.raises(GuardedError, match="reached by a link"):
        read_file(Path(root), path, 10**6)


@pytest.mark.usefixtures("way")
def test_a_file_that_grows_while_it_is_read_is_cut_off(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The size that was looked at says nothing of what is read."""
    (place / "trap").write_bytes(b"x" * 10_000)
    real = os.fstat

    def small(file: int) -> os.stat_result:
        return os.stat_result((*real(file)[:6], 1, *real(file)[7:]))

    monkeypatch.setattr(os, "fstat", small)
    with pytest.raises(GuardedError, match="holds more than"):
        read_file(place, "trap", MOST)


@contextmanager
def swapping(place: Path) -> Iterator[None]:
    """A box that goes on exchanging a plain file, and the directory it lies in, for links to a secret."""
    over = threading.Event()

    def swap() -> None:
        target = place.parent / "outside"
        while not over.is_set():
            (place / "new").symlink_to(target / "result")
            (place / "new").rename(place / "in" / "result")
            (place / "in").rename(place / "away")
            (place / "in").symlink_to(target)
            (place / "in").unlink()
            (place / "away").rename(place / "in")
            (place / "new").write_bytes(b"plain")
            (place / "new").rename(place / "in" / "result")

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@pytest.mark.usefixtures("way")
def test_case_52_no_swap_is_fast_enough(place: Path) -> None:
    """A box swaps what is read for a link, over and over: never is anything else read than its own file."""
    seen = {"read": 0, "refused": 0}
    with swapping(place):
        for _ in range(20_000 if FULL else 2000):
            try:
                content = read_file(place, "in/result", MOST)
            except GuardedError:
                seen["refused"] += 1
            else:
                assert content == b"plain"
                seen["read"] += 1
    assert min(seen.values()) > 0, f"the race was not run: {seen}"


def test_the_unguarded_way_does_lose_that_race(place: Path) -> None:
    """Look first and then open, as one would write it: the swap gets through, so the test above can fail."""
    with swapping(place):
        for _ in range(200_000):
            try:
                if (
                    not (place / "in" / "result").is_symlink()
                    and (place / "in/result").read_bytes() == SECRET
                ):
                    return
            except OSError:
                continue
    raise AssertionError("the race was never lost")


@pytest.mark.usefixtures("way")
@given(
    st.text(
        alphabet=st.sampled_from("./ain\0-") | st.characters(codec="utf-8", categories=["L", "C"]),
        max_size=40,
    )
)
def test_any_path_is_read_from_below_or_refused(tmp_path_factory: pytest.TempPathFactory, path: str) -> None:
    root = tmp_path_factory.getbasetemp()
    with pytest.raises(GuardedError):
        read_file(root, f"none/{path}", MOST)


@pytest.mark.usefixtures("way")
def test_names_are_listed_as_far_as_is_asked_for(place: Path) -> None:
    for number in range(20):
        (place / "in" / f"{number}\n.json").symlink_to("/etc/shadow")
    assert len(list_names(place, "in", 5)) == 5
    assert set(list_names(place, "in", 99)) == {"result", *(f"{number}\n.json" for number in range(20))}
    with (place / "in" / "odd").open("w"):
        os.rename(place / "in" / "odd", os.fsencode(place / "in") + b"/\xff")  # noqa: PTH104 - bytes
    assert "\udcff" in list_names(place, "in", 99)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize(
    "name", [*(name for name in TRAPS if name != "a directory"), "a link to a directory"]
)
def test_only_a_directory_is_listed(name: str, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    if name == "a link to a directory":
        (place / "trap").symlink_to(place.parent / "outside")
    else:
        TRAPS[name](place / "trap")
    with within(1), pytest.raises(GuardedError) as refused:
        list_names(place, "trap", MOST)
    assert refused.value.why == ("missing" if name == "nothing" else "not-plain")


def test_no_descriptor_is_left_open(place: Path) -> None:
    (place / "trap").symlink_to("/etc/passwd")
    before = len(list(Path("/proc/self/fd").iterdir()))
    for path in ("in/result", "trap", "nothing", "in"):
        for _ in range(5):
            try:
                read_file(place, path, MOST)
            except GuardedError:
                continue
        with contextlib.suppress(GuardedError):
            list_names(place, path, 1)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
