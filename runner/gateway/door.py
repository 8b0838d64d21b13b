"""Through which every request of a box goes: out to a host, or to the model's service."""

from __future__ import annotations

import logging

from aiohttp import web

from runner.gateway.egress.proxy import Egress, asks_out
from runner.gateway.exchange import Grant
from runner.gateway.forward import Forwarder

log = logging.getLogger(__name__)


class Door:
    """Handles every request that comes in on one grant's socket.

    A box that is let through to no host is answered by the `Forwarder` as if there were no way out at all.
    """

    def __init__(self, grant: Grant, egress: Egress, forwarder: Forwarder) -> None:
        self._grant = grant
        self._egress = egress
        self._forwarder = forwarder

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        if asks_out(request):
            if self._egress.hosts:
                return await self._out(request)
            self._egress.closed(request)
        if not self._grant.accesses:
            return _nobody()
        return await self._forwarder(request)

    async def _out(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            return await self._egress.handle(request)
        except ConnectionError:
            raise
        except Exception:
            log.exception("a request to a host could not be handled")
            raise


def _nobody() -> web.Response:
    response = web.Response(status=403, text="corral: no model answers this box\n")
    response.force_close()
    return response
