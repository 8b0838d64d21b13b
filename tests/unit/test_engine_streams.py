"""What the engine streams, read whole however its packets are cut: an answer imitated byte by byte."""

from __future__ import annotations

import gc
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.errors import EngineAwayError, EngineError
from runner.sandbox.engine import Engine

FRAMES = b"\x01\0\0\0\0\0\0\x06plain " + b"\x02\0\0\0\0\0\0\x03oh\n" + b"\x01\0\0\0\0\0\0\x04TWVz"
RAW = b"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\n"


def _json(text: bytes) -> bytes:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    return head % len(text) + text


ANSWERS = {
    "version": _json(b'{"ApiVersion": "1.41", "Version": "20.10.24"}'),
    "_ping": _json(b"OK"),
    "exec": _json(b'{"Id": "e1"}'),
    "json": _json(b'{"ExitCode": 3}'),
}


class ScriptedEngine(threading.Thread):
    """Answers what a command in a container asks; the stream in pieces of a given size."""

    def __init__(self, place: Path, piece: int) -> None:
        super().__init__()
        self._piece = piece
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(place))
        self._listener.listen()

    def run(self) -> None:
        while True:
            try:
                asked, _ = self._listener.accept()
            except OSError:
                return
            with asked:
                self._answer(asked)

    def _answer(self, asked: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            got = asked.recv(65536)
            if not got:
                return
            head += got
        what = head.split(b" ")[1].split(b"?")[0].rpartition(b"/")[2].decode()
        answer = RAW + FRAMES if what == "start" else ANSWERS[what]
        if b"/containers/refused/" in head:
            answer = b"HTTP/1.1 404 Not Found\r\nContent-Length: 11\r\n\r\nno such box"
        for at in range(0, len(answer), self._piece):
            asked.sendall(answer[at : at + self._piece])

    def end(self) -> None:
        """Stop listening."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.join()


@pytest.fixture(params=[1, 7, 65536])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """A connection to the scripted engine."""
    scripted = ScriptedEngine(tmp_path / "e.sock", request.param)
    scripted.start()
    try:
        with Engine({"DOCKER_HOST": f"unix://{tmp_path}/e.sock"}, timeout=10) as connected:
            yield connected
    finally:
        scripted.end()


def test_what_comes_with_the_headers_is_not_lost(engine: Engine) -> None:
    assert engine.execute("box", ["true"]) == (3, "plain oh\nTWVz")


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_an_engine_that_does_not_answer_is_told_from_one_that_refuses(tmp_path: Path) -> None:
    scripted = ScriptedEngine(tmp_path / "e.sock", 65536)
    scripted.start()
    with Engine({"DOCKER_HOST": f"unix://{tmp_path}/e.sock"}, timeout=10) as engine:
        with pytest.raises(EngineError, match="no such") as refused:
            engine.start("refused")
        assert not isinstance(refused.value, EngineAwayError)
        assert engine.answers()
        scripted.end()
        with pytest.raises(EngineAwayError):
            engine.inspect("box")
        assert not engine.answers()
    gc.collect()  # docker-py leaves the socket of a refused connection to Python


def test_an_engine_that_hangs_does_not_answer(tmp_path: Path) -> None:
    scripted = ScriptedEngine(tmp_path / "e.sock", 65536)
    scripted.start()
    with Engine({"DOCKER_HOST": f"unix://{tmp_path}/e.sock"}, timeout=1) as engine:
        scripted.end()
        (tmp_path / "e.sock").unlink()
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(tmp_path / "e.sock"))
            listener.listen()
            assert not engine.answers(patience=1)
            with pytest.raises(EngineAwayError):
                engine.inspect("box")


def test_a_command_of_which_the_engine_knows_no_end_was_broken_off(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ANSWERS, "json", _json(b'{"ExitCode": null}'))
    with pytest.raises(EngineAwayError, match="broke off"):
        engine.execute("box", ["true"])
