"""Run in a box: tries to reach anything at all beyond it; prints OPEN and what, for each that it can."""

from __future__ import annotations

import errno
import json
import os
import socket

HOSTS: list[str] = json.loads(os.environ["HOSTS"])
PORTS: list[int] = json.loads(os.environ["PORTS"])
tried = 0


def attempt(name: str, kind: int, family: int, address: tuple[str, int] | None, protocol: int = 0) -> None:
    global tried  # noqa: PLW0603 - a count for the last line
    tried += 1
    try:
        with socket.socket(family, kind, protocol) as made:
            made.settimeout(1)
            if address is not None:
                made.connect(address)
                made.send(b"canary")
        print("OPEN", name)
    except OSError as error:
        if error.errno is None or error.errno == errno.EINPROGRESS:
            print("SLOW", name, error)


def resolve(name: str) -> None:
    try:
        print("OPEN", name, socket.getaddrinfo(name, 80))
    except OSError:
        return


for host in HOSTS:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for port in PORTS:
        attempt(f"tcp {host} {port}", socket.SOCK_STREAM, family, (host, port))
        attempt(f"udp {host} {port}", socket.SOCK_DGRAM, family, (host, port))
attempt("raw", socket.SOCK_RAW, socket.AF_INET, None, 1)
attempt("raw v6", socket.SOCK_RAW, socket.AF_INET6, None, 58)
attempt("packet", socket.SOCK_RAW, socket.AF_PACKET, None)
for name in ("example.org", "host.docker.internal", "gateway.docker.internal", "metadata.google.internal"):
    resolve(name)
for name in os.listdir("/sys/class/net"):  # noqa: PTH208 - names are what is wanted
    print("OPEN interface" if name != "lo" else "interface", name)
print("TRIED", tried)
