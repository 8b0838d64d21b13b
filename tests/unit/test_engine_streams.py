"""What the engine streams, read whole however its packets are cut: an answer imitated byte by byte."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.sandbox.engine import Engine

FRAMES = b"\x01\0\0\0\0\0\0\x06plain " + b"\x02\0\0\0\0\0\0\x03oh\n" + b"\x01\0\0\0\0\0\0\x04TWVz"
RAW = b"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\n"


def _json(text: bytes) -> bytes:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    return head % len(text) + text


ANSWERS = {
    "version": _json(b'{"ApiVersion": "1.41", "Version": "20.10.24"}'),
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
