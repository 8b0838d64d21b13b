"""What a recording holds, and how it is written down."""

from __future__ import annotations

import asyncio
import json
import threading
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.errors import TaskFileError
from runner.gateway.places import recording_file
from runner.gateway.playing import recorder as recorder_file
from runner.gateway.playing.recorder import Recorder, Tape
from runner.gateway.playing.recording import LARGEST_PART, Lines, Recording, cut, load, read
from runner.gateway.playing.redact import without_keys, without_secrets, without_told_keys
from tests.support import within

KEY = b"sk-ant-canary-0123456789abcdef"
BODIES = st.one_of(
    st.binary(max_size=300), st.text(max_size=300).map(lambda text: json.dumps([text]).encode())
)
EXCHANGES = st.lists(st.tuples(BODIES, st.lists(BODIES, max_size=5), st.booleans()), max_size=6)


def written(exchanges: list[tuple[bytes, list[bytes], bool]]) -> bytes:
    """The recording of these: request, pieces of the answer, whether it was whole."""
    lines = Lines(set())
    made = [lines.head("night", "fix/steady/1")]
    for body, pieces, whole in exchanges:
        made += lines.request(1.5, "POST", "/v1/messages", [("User-Agent", "me"), ("cookie", "no")], body)
        times = [(7 * n, len(piece)) for n, piece in enumerate(pieces)]
        headers = [("content-type", "text/event-stream"), ("set-cookie", "no")]
        made += lines.answer(lines.last, 200, headers, b"".join(pieces), times, whole=whole)
    return b"".join(made)


def back(data: bytes) -> Recording:
    return read(data.splitlines(keepends=True), "r.jsonl")


@given(EXCHANGES)
def test_what_was_written_is_read_to_the_byte(exchanges: list[tuple[bytes, list[bytes], bool]]) -> None:
    got = back(written(exchanges))
    assert (got.run, got.attempt, got.incomplete) == ("night", "fix/steady/1", "")
    assert [got.bytes_of(one.body) for one in got.exchanges] == [without_keys(b) for b, _, _ in exchanges]
    for one, (_, pieces, whole) in zip(got.exchanges, exchanges, strict=True):
        assert one.answer is not None
        assert got.bytes_of(one.answer.body) == without_keys(b"".join(pieces))
        assert [size for _, size in one.answer.pieces] == [len(piece) for piece in pieces]
        assert one.answer.whole is whole
        assert (one.headers, one.answer.headers) == (
            [("User-Agent", "me")],
            [("content-type", "text/event-stream")],
        )


@given(EXCHANGES, st.data())
def test_cut_anywhere_the_beginning_is_read(
    exchanges: list[tuple[bytes, list[bytes], bool]], data: st.DataObject
) -> None:
    whole = written(exchanges)
    end = data.draw(st.integers(whole.index(b"\n") + 1, len(whole)))
    got, full = back(whole[:end]), back(whole)
    assert len(got.exchanges) <= len(full.exchanges)
    for one, other in zip(got.exchanges, full.exchanges, strict=False):
        assert one.body == other.body
        assert one.answer in (None, other.answer)


@given(st.binary(max_size=2 * LARGEST_PART))
def test_a_body_is_its_parts(body: bytes) -> None:
    assert b"".join(cut(body)) == body


@pytest.mark.parametrize(
    "body", [b"A" * (3 * LARGEST_PART), "ä".encode() * LARGEST_PART, b"a b" * LARGEST_PART]
)
def test_no_part_is_too_large(body: bytes) -> None:
    parts = list(cut(body))
    assert b"".join(parts) == body
    assert max(map(len, parts)) <= LARGEST_PART


def test_a_key_is_not_cut_in_two() -> None:
    for before in range(LARGEST_PART - 40, LARGEST_PART + 2):
        assert (
            KEY
            in list(cut(b" " * before + KEY + b" "))[0 if before < LARGEST_PART - 30 else 1][:LARGEST_PART]
        )


def test_a_conversation_that_grows_takes_room_for_what_is_new() -> None:
    def body(turns: int) -> bytes:
        said = [{"role": "user", "content": f"{n} " + "word " * 200} for n in range(turns)]
        return json.dumps(
            {"messages": said, "system": [{"text": "s" * 20_000}], "tools": [{"name": "t"}]}
        ).encode()

    lines = Lines(set())
    sizes = [
        sum(map(len, lines.request(0, "POST", "/v1/messages", [], body(turns)))) for turns in (50, 51, 52)
    ]
    assert sizes[0] > len(body(50))
    assert max(sizes[1:]) < len(body(50)) / 3, sizes


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"turns: []\n", "line of a recording"),
        (b'{"kind": "recording", "schema": 2, "run": "r", "attempt": "a"}\n', "format 1"),
        (b"", "it is empty"),
        (b"{}\n", "'kind' is missing"),
    ],
)
def test_what_is_no_recording_is_said(tmp_path: Path, line: bytes, words: str) -> None:
    file = tmp_path / "r.jsonl"
    file.write_bytes(line)
    with pytest.raises(TaskFileError, match=words):
        load(file)
    with pytest.raises(TaskFileError, match="can't be read"):
        load(tmp_path / "none.jsonl")


@pytest.mark.parametrize(
    "line",
    [
        b'{"kind": "part", "sha256": "00", "text": "x"}',
        b'{"kind": "part", "sha256": "00", "base64": "?"}',
        b'{"kind": "request", "n": 1, "method": "POST", "target": "/", "headers": [], "body": ["00"]}',
        b'{"kind": "answer", "n": 9, "status": 200, "headers": [], "body": [], "pieces": [], "whole": true}',
        b'{"kind": "other"}',
        b"[]",
        b"[" * 100_000,
    ],
)
def test_a_wrong_line_is_named(line: bytes) -> None:
    with pytest.raises(TaskFileError, match=r"r\.jsonl:2: not a line of a recording"):
        back(Lines.head("r", "a") + line + b"\n")


# -- keys


@given(st.integers(1, len(KEY) - 1), st.integers(0, len(KEY)))
def test_a_key_told_in_pieces_is_blanked_where_it_stands(one: int, other: int) -> None:
    cuts = sorted({0, one, other, len(KEY)})
    pieces = [KEY[a:b].decode() for a, b in pairwise(cuts)]
    frame = (
        'event: content_block_delta\ndata: {"type":"content_block_delta","delta":{"partial_json": "%s"}}\n\n'
    )
    body = "".join(frame % piece for piece in ('say \\"', *pieces, " twice")).encode()
    hidden = without_told_keys(body, ())
    assert len(hidden) == len(body)
    blanked = [frame % ("X" * len(piece)) for piece in pieces]
    assert hidden == "".join([frame % 'say \\"', *blanked, frame % " twice"]).encode()


def test_an_answer_full_of_keys_takes_no_more_time_than_it_is_long() -> None:
    piece = b'{"text":"sk-0123456789abcdef "}\n'
    with within(10):
        hidden = without_told_keys(piece * 100_000, ())
    assert hidden == piece.replace(b"sk-0123456789abcdef", b"X" * 19) * 100_000


def test_a_known_secret_goes_whatever_it_looks_like() -> None:
    secret = b"plain/words+of=mine"
    assert without_secrets(b"<" + secret + b">", [secret]) == b"<" + b"X" * len(secret) + b">"
    told = b'{"text":"plain/words"}\n{"text":"+of=mine."}'
    assert without_told_keys(told, [secret]) == b'{"text":"XXXXXXXXXXX"}\n{"text":"XXXXXXXX."}'
    assert without_secrets(b"none of it", [b"none"]) == b"none of it"  # a placeholder


@pytest.mark.parametrize("text", ["sk-ant-short", "task-force-of-nineteen", "a-risk-averse-person-of-19"])
def test_words_that_look_a_little_like_keys(text: str) -> None:
    """The last two do begin like keys in their middle: rather too much is blanked than a key is kept."""
    hidden = without_keys(text.encode())
    assert len(hidden) == len(text)
    assert (hidden == text.encode()) is (text == "sk-ant-short")


# -- the writer


def record(made: Recorder, tape: Tape, body: bytes, *pieces: bytes, whole: bool = True) -> None:
    asked = ("POST", "/v1/messages?key=" + KEY.decode(), [("user-agent", KEY.decode())], body)
    with made.recording(tape, [KEY], asked, (200, [("content-type", "application/json")])) as take:
        for piece in pieces:
            take.add(piece)
        take.is_whole = whole


def test_a_recording_goes_on_where_a_killed_process_left_it(tmp_path: Path) -> None:
    file = recording_file(tmp_path, "night", "fix/steady/1")
    with closing(Recorder(tmp_path)) as made:
        tape = made.tape("night", "fix/steady/1")
        record(made, tape, b"[1, 2]", b"one", b"two")
    with file.open("ab") as half:
        half.write(b'{"kind": "request", "n": 2')
    size = file.stat().st_size
    with closing(Recorder(tmp_path)) as made:
        record(made, made.tape("night", "fix/steady/1"), b"[1, 2]", b"onetwo", whole=False)
    assert file.stat().st_size > size
    got = load(file)
    assert [one.number for one in got.exchanges] == [1, 2]
    assert [got.bytes_of(one.answer.body) for one in got.exchanges if one.answer] == [b"onetwo", b"onetwo"]
    assert len(got.parts) == 2, "what stands in the file already is not written again"
    assert KEY not in file.read_bytes()
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("names", [("../x", "a/b/1"), ("x", "../b/1"), ("x", "a/b/1/../../c"), ("", "a/b/1")])
def test_no_name_leads_out_of_the_state_directory(tmp_path: Path, names: tuple[str, str]) -> None:
    with closing(Recorder(tmp_path)) as made, pytest.raises(ValueError, match="not a"):
        made.tape(*names)


def test_a_link_in_the_way_is_not_followed(tmp_path: Path) -> None:
    file = recording_file(tmp_path, "night", "a/b/1")
    file.parent.mkdir(parents=True)
    (tmp_path / "mine").write_text("mine\n")
    file.symlink_to(tmp_path / "mine")
    with closing(Recorder(tmp_path)) as made:
        tape = made.tape("night", "a/b/1")
        record(made, tape, b"[]", b"x")
    assert (tape.lost, (tmp_path / "mine").read_text()) == (1, "mine\n")


def test_a_recording_that_is_full_says_so_and_the_traffic_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder_file, "MAX_FILE", 8192)
    with closing(Recorder(tmp_path)) as made:
        tape = made.tape("night", "a/b/1")
        record(made, tape, b"[1]", b"x")
        record(made, tape, b"[2]", b"y" * 9000)
        record(made, tape, b"[3]", b"z")
    got = load(tape.file)
    assert tape.lost == 1
    assert [one.answer is not None for one in got.exchanges] == [True, False, True]
    assert got.incomplete
    assert tape.file.stat().st_size <= 8192


def test_a_disk_that_is_too_slow_loses_exchanges_and_holds_nothing_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder_file, "MAX_WAITING", 10_000)
    goes_on = threading.Event()
    with closing(Recorder(tmp_path)) as made:
        tape = made.tape("night", "a/b/1")
        made._jobs.put(goes_on.wait)  # type: ignore[arg-type] # what it returns is nobody's matter
        for _ in range(50):  # nothing of this waits for the disk
            record(made, tape, b"[" + b"1" * 998 + b"]", b"x" * 1000)
        assert made._waiting <= 10_000
        goes_on.set()
    got = load(tape.file)
    kept = [one for one in got.exchanges if one.answer is not None]
    assert 0 < len(kept) < 50
    assert len(kept) + tape.lost == 50
    assert got.incomplete
    assert made._waiting == 0


def test_whoever_closes_a_recording_finds_all_of_it(tmp_path: Path) -> None:
    async def play() -> None:
        with closing(Recorder(tmp_path)) as made:
            tape = made.tape("night", "a/b/1")
            for number in range(20):
                record(made, tape, f"[{number}]".encode(), b"x")
            await made.closed(tape)
            assert len(load(tape.file).exchanges) == 20

    asyncio.run(play())
