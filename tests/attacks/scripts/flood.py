"""Run in a box: asks again and again, from a daemon that has left its session, and times each answer."""

from __future__ import annotations

import os
import socket
import sys
import time

ASK = "GET /v1/models HTTP/1.1\r\nHost: x\r\nx-attack: {}\r\nConnection: close\r\n\r\n".format(
    os.environ["NAME"]
)
if os.environ.get("DAEMON"):
    for _ in range(2):
        if os.fork():
            os._exit(0)
        os.setsid()
until = time.monotonic() + float(os.environ["SECONDS"])
while time.monotonic() < until:
    began = time.monotonic()
    status = "none"
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.settimeout(20)
            made.connect("/run/gw/gw.sock")
            made.sendall(ASK.encode())
            status = made.recv(4096).split(b" ")[1].decode()
    except (OSError, IndexError):
        status = "refused"
    print(f"{status} {time.monotonic() - began:.3f}", flush=True)
    sys.stdout.flush()
    time.sleep(0.05)
