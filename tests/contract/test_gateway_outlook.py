"""How accounts stand, as a real gateway process tells whoever starts boxes, also after it was killed."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import psutil
import pytest

from runner.gateway.client import Gateway
from runner.gateway.grants import Account, Service
from tests.contract.gateway_service import BOX, CANARY, Upstream, plain, raw

ASK = b"POST /v1/messages HTTP/1.1\r\nHost: x\r\nContent-Length: 28\r\n\r\n" + b'{"model": "claude-opus-5-5"}'


def asked(folder: Path) -> bytes:
    """What a request is answered with in a few seconds; nothing if it waits."""
    try:
        return raw(folder, ASK)
    except TimeoutError:
        return b""


@pytest.mark.parametrize("on_limit", ["stop", "wait"])
def test_a_used_up_window_is_told_and_outlives_the_process(
    tmp_path: Path, upstream: Upstream, on_limit: str
) -> None:
    home = tmp_path / "home"
    assert Gateway.look_ahead(home) is None
    gateway = Gateway.ensure(home, idle=30)
    assert gateway.outlooks() == []
    opens = int(time.time()) + 1000
    told = {
        "anthropic_ratelimit_unified_5h_utilization": "1.0",
        "anthropic_ratelimit_unified_5h_reset": str(opens),
    }
    upstream.answer = lambda asked: plain(asked, b"{}", 429, **told)
    folder = gateway.grant(
        BOX,
        Service(base_url=upstream.url, secret=CANARY),
        account=Account.model_validate({"on_limit": on_limit}),
    )
    asking = threading.Thread(target=asked, args=(folder,))
    asking.start()
    while not any(one.closed for one in gateway.outlooks()):
        time.sleep(0.02)
    asking.join()
    (process,) = (one for one in psutil.process_iter(["cmdline"]) if str(home) in (one.info["cmdline"] or []))
    process.kill()
    psutil.wait_procs([process], 10)
    (outlook,) = gateway.outlooks()
    assert (outlook.dialect, outlook.account, outlook.closed) == ("anthropic", "default", "5-hour")
    assert outlook.closed_until == opens
    assert Gateway.look_ahead(home) == [outlook]
    got = asked(folder)
    assert len(upstream.seen) == 1, "nothing was sent into the window"
    usage = gateway.usage(BOX)
    if on_limit == "stop":
        assert b"402" in got.partition(b"\r\n")[0]
        assert usage.limited == "the 5-hour window of anthropic"
    else:
        assert got == b""
    gateway.revoke(BOX)
    assert gateway.leave()
