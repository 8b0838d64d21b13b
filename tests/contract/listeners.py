"""Real services on this host that messages are sent to: an HTTP server, and a mail server."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session


@dataclass
class Listener:
    """An HTTP server that takes posts: answers with `status`, or never while it is `hanging`."""

    port: int = 0
    status: int = 200
    hanging: threading.Event = field(default_factory=threading.Event)
    let_go: threading.Event = field(default_factory=threading.Event)
    came: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    """What came: the path, and the JSON that was posted."""
    news: threading.Condition = field(default_factory=threading.Condition)

    def until(self, number: int) -> list[dict[str, Any]]:
        """Wait for so many posts; returns what they hold."""
        with self.news:
            assert self.news.wait_for(lambda: len(self.came) >= number, timeout=60), self.came
        return [body for _, body in self.came]

    def take(self, path: str, body: bytes) -> None:
        """Take in a post."""
        with self.news:
            self.came.append((path, json.loads(body)))
            self.news.notify_all()


@contextmanager
def http() -> Iterator[Listener]:
    """A real HTTP server."""
    listener = Listener()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if listener.hanging.is_set():
                listener.let_go.wait()
                return
            listener.take(self.path, body)
            self.send_response(listener.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listener.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield listener
    finally:
        listener.let_go.set()
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass
class Mailbox:
    """What a mail server took."""

    port: int = 0
    letters: list[Envelope] = field(default_factory=list)

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        """As `aiosmtpd` wants it."""
        self.letters.append(envelope)
        return "250 taken"


@contextmanager
def mail() -> Iterator[Mailbox]:
    """A real mail server."""
    with socket.socket() as free:  # the library wants to know the port beforehand
        free.bind(("127.0.0.1", 0))
        box = Mailbox(free.getsockname()[1])
    controller = Controller(box, hostname="127.0.0.1", port=box.port)
    controller.start()
    try:
        yield box
    finally:
        controller.stop()
