"""What the supervisor can ask of the gateway process, as JSON over its admin socket.

GET    /hello           which protocol and process answers
PUT    /grants/BOX      {"accesses": […], "hosts": […], "hosted": […], "before": usage,
                        "account": account} → the usage
GET    /grants          how every grant stands
GET    /outlook         how every account stands that was asked anything, or whose window is used up
GET    /grants/BOX      the usage
GET    /credentials     how each credential that was asked for stands
DELETE /grants/BOX      the last usage; the box is cut off
POST   /leave           {"leaving": whether it does, "grants": how many are left}
"""

from __future__ import annotations

import os
import time
from asyncio import Event
from collections.abc import Awaitable, Callable

from aiohttp import web
from pydantic import JsonValue, ValidationError

from runner.gateway.grants import ACCESSES, HOSTED, HOSTS, Account, Usage
from runner.gateway.listening import Grants
from runner.gateway.places import PROTOCOL

MAX_ADMIN = 1024 * 1024

Handle = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Admin:
    """The admin socket's application; `leaving` is set when the process is to end."""

    def __init__(self, grants: Grants, leaving: Event) -> None:
        self._grants = grants
        self._leaving = leaving
        self._busy = 0
        self.last_request = time.monotonic()

    def app(self) -> web.Application:
        """The application to serve."""
        app = web.Application(middlewares=[self._noting], client_max_size=MAX_ADMIN)
        app.router.add_get("/hello", self._hello)
        app.router.add_get("/grants", self._all)
        app.router.add_get("/outlook", self._outlook)
        app.router.add_get("/credentials", self._credentials)
        app.router.add_put("/grants/{box}", self._put)
        app.router.add_get("/grants/{box}", self._get)
        app.router.add_delete("/grants/{box}", self._delete)
        app.router.add_post("/leave", self._leave)
        return app

    @web.middleware
    async def _noting(self, request: web.Request, handler: Handle) -> web.StreamResponse:
        self.last_request = time.monotonic()
        if self._leaving.is_set():
            return _problem(503, "leaving")
        self._busy += 1
        try:
            return await handler(request)
        except ValidationError as wrong:
            # Only where and what: the input itself may hold a secret.
            return _problem(400, "; ".join(f"{each['loc']}: {each['msg']}" for each in wrong.errors()))
        except (ValueError, KeyError) as wrong:
            return _problem(400, str(wrong))
        except OSError as failure:
            return _problem(500, str(failure))
        finally:
            self._busy -= 1

    async def _hello(self, _request: web.Request) -> web.Response:
        return web.json_response({"protocol": PROTOCOL, "pid": os.getpid(), "grants": len(self._grants)})

    async def _all(self, _request: web.Request) -> web.Response:
        standing = [one.model_dump(mode="json") for one in self._grants.standing()]
        return web.json_response({"pid": os.getpid(), "grants": standing})

    async def _outlook(self, _request: web.Request) -> web.Response:
        outlooks = [one.model_dump(mode="json") for one in self._grants.outlooks()]
        return web.json_response({"pid": os.getpid(), "outlooks": outlooks})

    async def _credentials(self, _request: web.Request) -> web.Response:
        return web.json_response([one.model_dump(mode="json") for one in self._grants.credentials()])

    async def _put(self, request: web.Request) -> web.Response:
        said: dict[str, JsonValue] = await request.json()
        accesses = ACCESSES.validate_python(said["accesses"])
        hosts = HOSTS.validate_python(said["hosts"])
        hosted = HOSTED.validate_python(said["hosted"])
        before = Usage.model_validate(said["before"])
        account = Account.model_validate(said["account"])
        box = request.match_info["box"]
        await self._grants.open(box, accesses, before, account, hosts, hosted)
        return _usage(self._grants.usage(box))

    async def _get(self, request: web.Request) -> web.Response:
        return _usage(self._grants.usage(request.match_info["box"]))

    async def _delete(self, request: web.Request) -> web.Response:
        return _usage(await self._grants.close(request.match_info["box"]))

    async def _leave(self, _request: web.Request) -> web.Response:
        # Another request under way may be about to make a grant.
        alone = len(self._grants) == 0 and self._busy == 1
        if alone:
            self._leaving.set()
        return web.json_response({"leaving": alone, "grants": len(self._grants)})


def _usage(usage: Usage | None) -> web.Response:
    if usage is None:
        return _problem(404, "no such grant")
    return web.json_response(text=usage.model_dump_json())


def _problem(status: int, message: str) -> web.Response:
    return web.json_response({"problem": message}, status=status)
