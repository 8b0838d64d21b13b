"""Run in a box: holds connections of every kind open, passes descriptors, meddles with the socket's file."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

HELD = b"POST /v1/messages HTTP/1.1\r\nHost: x\r\nx-attack: hold\r\nContent-Length: 2\r\n\r\n{}"
KINDS = {
    "idle": (200, b""),
    "slow headers": (20, b"POST /v1/messages HTTP/1.1\r\nHo"),
    "slow body": (20, b"POST /v1/messages HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{"),
    "held streams": (32, HELD),
}


def connected() -> socket.socket:
    made = socket.socket(socket.AF_UNIX)
    made.settimeout(2)
    made.connect("/run/gw/gw.sock")
    return made


passed = 0
with suppress(OSError), connected() as made:
    for _ in range(2000):
        socket.send_fds(made, [b"G"], [0] * 200)
        passed += 200
print("PASSED", passed)

held = []
for name in ("held streams", "slow body", "slow headers", "idle"):
    count, data = KINDS[name]
    for _ in range(count):
        with suppress(OSError):
            held.append(connected())
            held[-1].sendall(data)
print("HOLDING", len(held))

WAYS: dict[str, Callable[[], object]] = {
    "remove": lambda: Path("/run/gw/gw.sock").unlink(),
    "move": lambda: Path("/run/gw/gw.sock").rename("/run/gw/x"),
    "make": lambda: Path("/run/gw/other").touch(),
    "mode": lambda: Path("/run/gw/gw.sock").chmod(0),
}
for name, way in WAYS.items():
    try:
        way()
        print("OPEN", name)
    except OSError as error:
        print("HELD", name, error.strerror)
time.sleep(float(os.environ["SECONDS_HELD"]))
