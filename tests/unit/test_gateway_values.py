"""Grants, meter, redaction and socket names: the gateway's small parts."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from runner.gateway import sockets
from runner.gateway.booking.meter import Meter
from runner.gateway.dialects.anthropic import BodyUsage, StreamUsage
from runner.gateway.grants import ACCESSES, Script, Service, Tokens, Usage
from runner.gateway.places import box_folder
from runner.gateway.playing.redact import SHORTEST, Redactor

CANARY = "sk-ant-canary-0123456789"


def redacted(secret: bytes, pieces: list[bytes]) -> bytes:
    redactor = Redactor(secret)
    return b"".join([*(redactor.feed(piece) for piece in pieces), redactor.finish()])


@given(
    secret=st.text("ab*", min_size=SHORTEST, max_size=SHORTEST + 4).map(str.encode),
    around=st.lists(st.text("ab*", max_size=6).map(str.encode), min_size=1, max_size=4),
    cuts=st.lists(st.integers(0, 120), max_size=20),
)
def test_a_secret_is_blanked_wherever_the_pieces_are_cut(
    secret: bytes, around: list[bytes], cuts: list[int]
) -> None:
    text = secret.join(around)
    edges = sorted({0, *[cut for cut in cuts if cut < len(text)], len(text)})
    pieces = [text[start:end] for start, end in pairwise(edges)]
    assert redacted(secret, pieces) == text.replace(secret, b"*" * len(secret))


@given(
    secrets=st.lists(st.text("ab", min_size=SHORTEST, max_size=SHORTEST + 3).map(str.encode), max_size=3),
    around=st.lists(st.text("ab*", max_size=20).map(str.encode), min_size=1, max_size=4),
    cuts=st.lists(st.integers(0, 120), max_size=20),
)
def test_of_several_secrets_none_shows(secrets: list[bytes], around: list[bytes], cuts: list[int]) -> None:
    longer = [secret + b"b" for secret in secrets[:1]]  # one that begins with another
    text = around[0] + b"".join(a + b for a, b in zip([*secrets, *longer], [*around, *around], strict=False))
    edges = sorted({0, *[cut for cut in cuts if cut < len(text)], len(text)})
    redactor = Redactor(*secrets, *longer)
    pieces = [text[start:end] for start, end in pairwise(edges)]
    shown = b"".join([*(redactor.feed(piece) for piece in pieces), redactor.finish()])
    whole = Redactor(*secrets, *longer)
    assert shown == whole.feed(text) + whole.finish()
    assert len(shown) == len(text)
    assert not any(secret in shown for secret in secrets)


def test_an_event_that_holds_no_beginning_of_the_secret_is_not_delayed() -> None:
    redactor = Redactor(CANARY.encode())
    assert redactor.feed(b"data: {}\n\n") == b"data: {}\n\n"
    assert redactor.feed(b"a word with sk-an") == b"a word with "
    assert redactor.feed(b"swer") == b"sk-answer"


def test_a_placeholder_is_no_secret() -> None:
    assert redacted(b"none", [b"none of it"]) == b"none of it"
    assert Redactor(b"").whole("text") == "text"


def test_a_secret_never_shows() -> None:
    service = Service(base_url="https://models.example/", secret=CANARY)
    assert CANARY not in repr(service) + str(service) + service.model_dump_json()
    assert ACCESSES.validate_python([service.wire()]) == (service,)
    assert service.base_url == "https://models.example"
    assert Service(base_url="https://models.example", secret=f"{CANARY}\n") == service
    with pytest.raises(ValidationError) as wrong:
        Service(base_url="https://models.example", secret=f"{CANARY}\n{CANARY}")
    assert CANARY not in str(wrong.value)


@pytest.mark.parametrize(
    "url", ["models.example", "ftp://x", "https://", "https://u:p@x", "http://x/?q", "http://x#f"]
)
def test_an_address_that_cannot_be_used_is_refused(url: str) -> None:
    with pytest.raises(ValidationError, match="address"):
        Service(base_url=url)


def test_a_script_needs_an_absolute_path() -> None:
    assert ACCESSES.validate_python([Script(transcript="/t.yaml").wire()]) == (Script(transcript="/t.yaml"),)
    with pytest.raises(ValidationError, match="absolute"):
        Script(transcript="t.yaml")


def test_the_meter_counts_running_and_ended_answers_by_model() -> None:
    meter = Meter(scripted=False)
    with meter.reading(BodyUsage()) as ended, meter.reading(None) as uncounted:
        assert ended is not None
        ended.feed(b'{"model": "a", "usage": {"input_tokens": 3, "output_tokens": 4}}')
        assert uncounted is None
    with meter.reading(StreamUsage()) as running:
        assert running is not None
        running.tokens, running.model = Tokens(input=10), "b"
        usage = meter.usage()
    assert usage.models == {"a": Tokens(input=3, output=4), "b": Tokens(input=10)}
    assert (usage.input, usage.output) == (13, 4)
    assert Meter.continuing(usage, scripted=False).usage() == usage


def test_unknown_times_are_none() -> None:
    assert (Usage().last_activity, Usage().last_status) == (None, None)


@pytest.mark.parametrize("box", ["", "../../../../e", "0123456789AB", "0123456789abc", "0123456789a\n"])
def test_a_box_id_is_never_a_path(box: str) -> None:
    with pytest.raises(ValueError, match="not a box id"):
        box_folder(Path("/home"), box)


def test_sockets_work_in_directories_of_any_length(tmp_path: Path) -> None:
    folder = tmp_path / ("d" * 100) / ("e" * 100)
    folder.mkdir(parents=True)
    for _ in range(2):  # the second takes the place of the first one's stale file
        with sockets.listen(folder, "gw.sock", 0o666) as server:
            assert (folder / "gw.sock").stat().st_mode & 0o777 == 0o666
            with sockets.connect(folder, "gw.sock", 5) as client:
                server.setblocking(True)
                there, _ = server.accept()
                with there:
                    client.sendall(b"x")
                    assert there.recv(1) == b"x"
    assert [file.name for file in folder.iterdir()] == ["gw.sock"]
    with pytest.raises(ConnectionRefusedError):
        sockets.connect(folder, "gw.sock", 5)


def test_a_failed_listen_closes_its_socket(tmp_path: Path) -> None:
    (tmp_path / "gw.sock").mkdir()
    with pytest.raises(OSError, match=r"gw\.sock"):
        sockets.listen(tmp_path, "gw.sock", 0o600)
