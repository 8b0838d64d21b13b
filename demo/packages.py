"""The open-source packages that the demo works on, pinned by the hash of their source releases.

Each one is taken at an earlier release, with test files of a later release laid over it, or hidden beside it:
those tests fail on the earlier code and pass on the later one, so they show real bugs that really were fixed.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Release:
    """One source release on the package index; `sha256` is that of its `.tar.gz`, as the index lists it."""

    name: str
    version: str
    sha256: str

    @property
    def requirement(self) -> str:
        """The line of a requirements file that lets pip accept exactly these bytes."""
        return f"{self.name}=={self.version} --hash=sha256:{self.sha256}"


@dataclass(frozen=True)
class Package:
    """A repository to be made: an earlier release, and test files of a later one over it.

    `commit` is what the branch `main` must come to; it follows from the pinned bytes alone. `hidden` are test
    files of the later release that lie beside the repository, where no agent sees them.
    """

    earlier: Release
    later: Release
    tests: tuple[str, ...]
    commit: str
    hidden: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The package's name, which is also that of its repository's folder."""
        return self.earlier.name


PACKAGES = (
    Package(
        earlier=Release(
            "xmltodict", "0.13.0", "341595a488e3e01a85a9d8911d8912fd922ede5fecc4dce437eb4b6c8d037e56"
        ),
        later=Release(
            "xmltodict", "0.14.2", "201e7c28bb210e374999d1dde6382923ab0ed1a8a5faeece48ab525b7810a553"
        ),
        tests=("tests/test_dicttoxml.py", "tests/test_xmltodict.py"),
        commit="b2141f646799582eafdde4b36bfd45465adc2bd8",
    ),
    Package(
        earlier=Release(
            "sqlparse", "0.4.3", "69ca804846bb114d2ec380e4360a8a340db83f0ccf3afceeb1404df028f57268"
        ),
        later=Release(
            "sqlparse", "0.4.4", "d446183e84b8349fa3061f0fe7f06ca94ba65b426946ffebe6e3e8295332420c"
        ),
        tests=("tests/test_regressions.py",),
        commit="47dc6e8b809cbd9bee757f4969a57813cc2ea0f1",
    ),
    Package(
        earlier=Release(
            "cachetools", "5.2.0", "6a94c6402995a99c3970cc7e4884bb60b4a8639938157eeed436098bf9831757"
        ),
        later=Release(
            "cachetools", "5.3.1", "dce83f2d9b4e1f732a8cd44af8e8fab2dbe46201467fc98b3ef8f269092bf62b"
        ),
        tests=("tests/test_cached.py",),
        commit="05fcb659129708c27b54098f7ddff6e55cc65684",
    ),
    Package(
        earlier=Release(
            "parse", "1.19.0", "9ff82852bcb65d139813e2a5197627a94966245c897796760a3a2a8eb66f020b"
        ),
        later=Release("parse", "1.20.0", "bd28bae37714b45d5894d77160a16e2be36b64a3b618c81168b3684676aa498b"),
        tests=(),
        commit="5c9405dacf42e1b00d17815af4ff0064f3269020",
        hidden=("tests/test_parse.py",),
    ),
)
