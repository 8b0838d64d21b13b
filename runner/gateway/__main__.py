"""`python -m runner.gateway --home DIR`: the gateway as a process that outlives who started it."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import resource
from logging.handlers import RotatingFileHandler
from pathlib import Path

from runner.gateway.places import LOG, own_folder
from runner.gateway.process import only_one, serve

LOG_BYTES = 1024 * 1024

log = logging.getLogger("runner.gateway")


def main() -> int:
    """Serve; 0 after leaving in peace, 1 if it could not start (the log says why)."""
    options = _options()
    if options.detach and os.fork():
        os._exit(0)  # the child goes on; who started us has nobody to wait for
    _secure()
    own_folder(options.home).mkdir(parents=True, exist_ok=True)
    own_folder(options.home).chmod(0o700)
    _log_to(own_folder(options.home) / LOG)
    try:
        with only_one(options.home):
            asyncio.run(serve(options.home, options.idle, lambda: _ready(options)))
    except BaseException:
        log.exception("the gateway ends")
        return 1
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m runner.gateway", description=__doc__)
    parser.add_argument("--home", type=Path, required=True, help="the state directory")
    parser.add_argument("--idle", type=float, default=60.0, help="seconds without use until it leaves")
    parser.add_argument("--detach", action="store_true", help="go on in the background")
    parser.add_argument("--ready-fd", type=int, help="where to write a byte once everything listens")
    return parser.parse_args()


def _secure() -> None:
    os.umask(0o077)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core file would hold the keys
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _log_to(file: Path) -> None:
    handler = RotatingFileHandler(file, maxBytes=LOG_BYTES, backupCount=1)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])


def _ready(options: argparse.Namespace) -> None:
    if options.detach:
        # From here on everything goes through the bounded log.
        nothing = os.open(os.devnull, os.O_RDWR)
        os.dup2(nothing, 2)
        os.close(nothing)
    if options.ready_fd is not None:
        os.write(options.ready_fd, b"1")
        os.close(options.ready_fd)


if __name__ == "__main__":
    code = main()
    logging.shutdown()
    os._exit(code)  # a proper end would wait for names that are still being looked up in threads
