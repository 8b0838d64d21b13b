"""Run in a box: a proxy of its own, which passes what it is asked on to the gateway's, and its clients."""

from __future__ import annotations

import json
import os
import socket
import threading
from contextlib import suppress

HOSTS: list[str] = json.loads(os.environ["HOSTS"])
PORTS: list[int] = json.loads(os.environ["PORTS"])
NAME = os.environ["NAME"]


def pump(source: socket.socket, target: socket.socket) -> None:
    """Pass bytes on until there are no more."""
    try:
        while piece := source.recv(65536):
            target.sendall(piece)
    except OSError:
        pass
    finally:
        for one in (source, target):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


def relay(server: socket.socket) -> None:
    """Take connections, and pass each on to the gateway, a new head before what it says."""
    while True:
        client = server.accept()[0]
        gateway = socket.create_connection(("127.0.0.1", 8484))
        gateway.sendall(f"CONNECT {NAME}:443 HTTP/1.1\r\nHost: {NAME}\r\n\r\n".encode())
        threading.Thread(target=pump, args=(client, gateway), daemon=True).start()
        threading.Thread(target=pump, args=(gateway, client), daemon=True).start()


with socket.create_server(("127.0.0.1", 0)) as server:
    threading.Thread(target=relay, args=(server,), daemon=True).start()
    for host in HOSTS:
        target = f"[{host}]:{PORTS[0]}" if ":" in host else f"{host}:{PORTS[0]}"
        with socket.create_connection(server.getsockname()) as made:
            made.settimeout(15)
            answer = b""
            try:
                made.sendall(f"CONNECT {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
                while piece := made.recv(65536):
                    answer += piece
            except OSError as error:
                answer += type(error).__name__.encode()
        print("RELAYED", target, answer.decode("latin-1").encode("unicode_escape").decode(), flush=True)
