"""Which mirrors of the distribution this host is set up to use, read from its apt configuration."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Mirrors:
    """Addresses of the distribution's archive and of its security archive; None where the host names none."""

    main: str | None = None
    security: str | None = None

    def sources(self, suite: str, found: str) -> str:
        """The text of `/etc/apt/sources.list` for a release.

        Args:
            suite: The release.
            found: The text that bootstrapping left, whose archive is used where the host names none.
        """
        main = self.main or next((uri for uri, _ in _lines(found)), None)
        lines = [f"deb {main} {part} main\n" for part in (suite, f"{suite}-updates") if main]
        if self.security:
            lines.append(f"deb {self.security} {suite}-security main\n")
        return "".join(lines)


def mirrors(one_line: Iterable[str], deb822: Iterable[str]) -> Mirrors:
    """The mirrors that a Debian host's apt uses, as far as it says anything that fits.

    Args:
        one_line: Texts of `sources.list` files.
        deb822: Texts of `.sources` files.
    """
    entries = [e for text in one_line for e in _lines(text)] + [e for t in deb822 for e in _stanzas(t)]
    main = [uri for uri, suites in entries if _is_archive(uri, "debian") and not _secure(suites)]
    security = [uri for uri, suites in entries if _is_archive(uri, "debian-security") or _secure(suites)]
    return Mirrors(main[0] if main else None, security[0] if security else None)


def _lines(text: str) -> Iterator[tuple[str, list[str]]]:
    for line in text.splitlines():
        match = re.match(r"\s*deb\s+(?:\[[^\]]*\]\s+)?(\S+)\s+(\S+)\s+\S", line)
        if match:
            yield match[1].rstrip("/"), [match[2]]


def _stanzas(text: str) -> Iterator[tuple[str, list[str]]]:
    for stanza in re.split(r"\n\s*\n", text):
        fields = dict(re.findall(r"^([A-Za-z-]+):[ \t]*(.*)$", stanza, re.MULTILINE))
        if "deb" in fields.get("Types", "").split() and fields.get("Enabled", "yes").lower() != "no":
            for uri in fields.get("URIs", "").split():
                yield uri.rstrip("/"), fields.get("Suites", "").split()


def _is_archive(uri: str, name: str) -> bool:
    return uri.startswith(("http://", "https://")) and uri.endswith(f"/{name}")


def _secure(suites: list[str]) -> bool:
    return any(suite.endswith(("-security", "/updates")) for suite in suites)
