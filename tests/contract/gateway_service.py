"""A model service that a test plays, and a gateway in front of it: what the gateway's tests share."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from runner.gateway import sockets
from runner.gateway.client import Gateway
from runner.gateway.grants import Service

BOX, OTHER = "0123456789ab", "ba9876543210"
CANARY = "sk-ant-canary-0123456789abcdef"
USAGE = b'{"model": "m-1", "usage": {"input_tokens": 3, "output_tokens": 4}}'


@dataclass
class Seen:
    """One request as the service saw it."""

    method: str
    path: str
    headers: list[tuple[str, str]]
    body: bytes


@dataclass
class Upstream:
    """A service on loopback; `answer` says what it does, `seen` what it was asked."""

    url: str = ""
    seen: list[Seen] = field(default_factory=list)
    answer: Callable[[BaseHTTPRequestHandler], None] = lambda asked: plain(asked, USAGE)

    def serve(self, asked: BaseHTTPRequestHandler) -> None:
        """Note a request and answer it."""
        body = asked.rfile.read(int(asked.headers.get("content-length", 0)))
        self.seen.append(Seen(asked.command, asked.path, asked.headers.items(), body))
        self.answer(asked)


def plain(asked: BaseHTTPRequestHandler, body: bytes, status: int = 200, **headers: str) -> None:
    """Answer with a whole document."""
    asked.send_response(status)
    asked.send_header("Content-Type", "application/json")
    asked.send_header("Content-Length", str(len(body)))
    for name, value in headers.items():
        asked.send_header(name.replace("_", "-"), value)
    asked.end_headers()
    asked.wfile.write(body)


def begin_stream(asked: BaseHTTPRequestHandler) -> None:
    """Begin to answer with a stream of chunks."""
    asked.send_response(200)
    asked.send_header("Content-Type", "text/event-stream")
    asked.send_header("Transfer-Encoding", "chunked")
    asked.end_headers()


def chunk(asked: BaseHTTPRequestHandler, data: bytes) -> None:
    """Send one chunk; an empty one ends the stream."""
    asked.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
    asked.wfile.flush()


@contextmanager
def playing(service: Upstream | None = None) -> Iterator[Upstream]:
    """A service that answers with `USAGE` until told otherwise, or the one that is given."""
    made = service or Upstream()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_any(self) -> None:
            made.serve(self)

        do_POST = do_GET = do_PUT = do_DELETE = do_HEAD = do_any  # noqa: N815 - the names that http.server calls

        def end_headers(self) -> None:
            self.send_header("Connection", "close")  # so that no thread waits for another request
            super().end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.url = f"http://127.0.0.1:{server.server_port}/prefix"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def running(home: Path) -> Iterator[Gateway]:
    """A gateway process; in the end its log holds neither the key nor a failure of its own."""
    made = Gateway.ensure(home, idle=60)
    yield made
    assert made.leave()
    log = (home / "g" / "gateway.log").read_text()
    assert CANARY not in log
    assert "Traceback" not in log


@contextmanager
def granted(process: Gateway, upstream: Upstream) -> Iterator[Path]:
    """Let `BOX` ask the service with the canary as its key; the directory of its socket."""
    try:
        yield process.grant(BOX, Service(base_url=upstream.url, secret=CANARY))
    finally:
        for box in (BOX, OTHER):
            process.revoke(box)


def raw(folder: Path, data: bytes) -> bytes:
    """Send bytes, and return all that comes back until the gateway closes or falls silent."""
    with sockets.connect(folder, "gw.sock", 4) as made:
        with suppress(BrokenPipeError, ConnectionResetError):
            made.sendall(data)  # who is refused early may find nobody reading, but still an answer
        got = b""
        with suppress(ConnectionResetError):
            while more := made.recv(65536):
                got += more
                if b"\r\n\r\n" in got and _is_whole(got):
                    break
        return got


def _is_whole(got: bytes) -> bool:
    head, _, body = got.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: (\d+)", head)
    return length is not None and len(body) >= int(length[1])


def keys_of(seen: Seen) -> list[str]:
    """All headers of a request that could hold a credential."""
    return [f"{name}: {value}" for name, value in seen.headers
            if re.search("key|auth|cookie|token", name, re.IGNORECASE)]  # fmt: skip
