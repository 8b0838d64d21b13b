"""Run in a box: sends raw requests to the gateway's socket, and prints all that comes back."""

from __future__ import annotations

import base64
import json
import os
import socket

REQUESTS: list[tuple[str, str]] = json.loads(os.environ["REQUESTS"])

for name, data in REQUESTS:
    with socket.socket(socket.AF_UNIX) as made:
        made.settimeout(3)
        got = b""
        try:
            made.connect("/run/gw/gw.sock")
            made.sendall(base64.b64decode(data))
            while piece := made.recv(65536):
                got += piece
        except OSError as error:
            got += f" [{type(error).__name__}]".encode()
    print(name, "=>", got.decode("latin-1").encode("unicode_escape").decode())
