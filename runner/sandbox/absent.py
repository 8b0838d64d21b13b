"""Why no container engine answers, and what to do about it."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable, Mapping

_USUAL = "unix:///var/run/docker.sock"
_INSTALL = "install Docker 20.10 or newer (on Debian and Ubuntu: `apt-get install docker.io`)"
_START = "start it, as root: `systemctl start docker`, or `make engine` in Corral's directory"
_JOIN = "join its group, as root: `usermod -aG docker NAME`, and log in again"


def explain(
    environment: Mapping[str, str],
    error: BaseException,
    said: str,
    installed: Callable[[str], object] = shutil.which,
) -> tuple[str, str]:
    """What is the matter with an engine that could not be reached, and the cure.

    Args:
        environment: Where `DOCKER_HOST` is looked up.
        error: What the attempt to reach it ended with.
        said: The same in words, for where nothing better is known.
        installed: Finds a program by its name.
    """
    host = environment.get("DOCKER_HOST") or _USUAL
    if not host.startswith("unix://"):
        return f"{said} (DOCKER_HOST is {host})", "correct DOCKER_HOST, or unset it for the engine here"
    path = "/" + host.removeprefix("unix://").lstrip("/")
    match _number(error):
        case errno.ENOENT if not installed("dockerd"):
            return f"there is no {path}, and Docker is not installed here", _INSTALL
        case errno.ENOENT:
            return f"there is no {path}: Docker is installed and not running", _START
        case errno.ECONNREFUSED:
            return f"nobody listens at {path}: Docker has stopped", _START
        case errno.EACCES | errno.EPERM:
            return f"you may not use {path}", _JOIN
        case _:
            return said, "see what the engine's own log says (`journalctl -u docker`), or restart it"


def _number(error: BaseException | None, depth: int = 8) -> int | None:
    """The system's number of an error that lies within another: as its cause, or as what it was made of."""
    if error is None or depth == 0:
        return None
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    inner = (error.__cause__, error.__context__, *(a for a in error.args if isinstance(a, BaseException)))
    return next((number for number in (_number(one, depth - 1) for one in inner) if number is not None), None)
