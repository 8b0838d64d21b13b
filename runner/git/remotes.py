"""Where a repository of the user's is published, and by which program a pull request is opened there. Pure.

Remotes' addresses are read by `trusted.remote`; a password in one never comes this far.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

Forge = Literal["github", "gitlab", "gitea"]

PROGRAMS: Mapping[Forge, str] = {"github": "gh", "gitlab": "glab", "gitea": "tea"}
"""The program of each forge; Forgejo is asked by that of Gitea."""

_SCP = re.compile(r"(?:[^@/]+@)?(?P<host>\[[0-9a-fA-F:]+\]|[^/:@]+):(?!//)(?P<path>.+)", re.DOTALL)
"""As in `git@host:path`, which git takes for SSH where no slash stands before the colon."""

_KNOWN: Mapping[str, Forge] = {"codeberg.org": "gitea"}
_NAMED: Mapping[str, Forge] = {
    "github": "github",
    "gitlab": "gitlab",
    "gitea": "gitea",
    "forgejo": "gitea",
}
"""Hosts by a word of their name."""


@dataclass(frozen=True)
class Place:
    """A repository on a host: `OWNER/NAME`, or with more groups before the name."""

    host: str
    path: str


@dataclass(frozen=True)
class Request:
    """A pull request to be opened.

    Attributes:
        remote: The remote's name.
        place: Where that is; None leaves it to the program, which looks at the repository it is started in.
        branch: The branch that has the work, there.
        into: The branch that it is for; None for the repository's own choice.
        title: One plain line.
        body: Its text.
        file: Where that stands.
    """

    remote: str
    place: Place | None
    branch: str
    into: str | None
    title: str
    body: str
    file: str


def place_of(address: str) -> Place | None:
    """The repository that an address of a remote means; None for a path of this machine."""
    if "://" in address:
        try:
            parts = urlsplit(address)
        except ValueError:  # brackets that hold no address
            return None
        if parts.scheme == "file" or not parts.hostname:
            return None
        return _place(parts.hostname, parts.path)
    found = _SCP.fullmatch(address)
    return _place(found["host"], found["path"]) if found is not None else None


def _place(host: str, path: str) -> Place | None:
    path = path.strip("/").removesuffix(".git").strip("/")
    plain = re.fullmatch(r"[A-Za-z0-9._~-]+(?:/[A-Za-z0-9._~-]+)+", path)
    known = re.fullmatch(r"[A-Za-z0-9.-]+|\[[0-9a-fA-F:]+\]", host)
    return Place(host.lower(), path) if plain and known and not path.startswith("-") else None


def forge_of(place: Place | None) -> Forge | None:
    """The forge that a host is, as far as its name tells; None if it does not."""
    if place is None:
        return None
    labels = re.split(r"[.-]", place.host)
    found = (forge for name, forge in _NAMED.items() if name in labels)
    return _KNOWN.get(place.host) or next(found, None)


def command(forge: Forge, request: Request, *, shown: bool = False) -> list[str]:
    """The command that opens a pull request, as arguments.

    Args:
        forge: Where.
        request: What.
        shown: For a person: where the program takes the text as an argument only, that is `BODY`.
    """
    return [PROGRAMS[forge], *_ARGUMENTS[forge](request, BODY if shown else request.body)]


BODY = "\0body\0"
"""Stands for the text of the body in a command that is shown; no argument can hold it."""


def _github(request: Request, body: str) -> list[str]:  # noqa: ARG001 - it reads the file by itself
    where = [] if request.place is None else [f"--repo={request.place.host}/{request.place.path}"]
    into = [] if request.into is None else [f"--base={request.into}"]
    told = (f"--head={request.branch}", f"--title={request.title}", f"--body-file={request.file}")
    return ["pr", "create", *where, *into, *told]


def _gitlab(request: Request, body: str) -> list[str]:
    where = [] if request.place is None else [f"--repo=https://{request.place.host}/{request.place.path}"]
    into = [] if request.into is None else [f"--target-branch={request.into}"]
    told = (f"--source-branch={request.branch}", f"--title={request.title}", f"--description={body}")
    return ["mr", "create", *where, *into, *told, "--yes"]


def _gitea(request: Request, body: str) -> list[str]:
    """By the remote: of a name alone it would not know on which of several hosts that is."""
    into = [] if request.into is None else [f"--base={request.into}"]
    told = (f"--head={request.branch}", f"--title={request.title}", f"--description={body}")
    return ["pulls", "create", f"--remote={request.remote}", *into, *told]


_ARGUMENTS: Mapping[Forge, Callable[[Request, str], list[str]]] = {
    "github": _github,
    "gitlab": _gitlab,
    "gitea": _gitea,
}
