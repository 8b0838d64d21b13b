"""The base image: pulled where a registry answers, bootstrapped from Debian's packages elsewhere."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from runner.errors import HostError, ImageError
from runner.sandbox import context
from runner.sandbox.engine import Engine
from runner.sandbox.layers import BASE_REFERENCE, BASE_SUITE, DOCKERFILE, File, Layer
from runner.sandbox.mirrors import Mirrors, mirrors

OnLine = Callable[[str], None]

_APT = Path("/etc/apt")
_SEARCH = os.pathsep.join(("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"))
_IMAGE = "corral.base.image"


def make_base(engine: Engine, layer: Layer, scratch: Path, on_line: OnLine) -> str:
    """Make the base image and return its id.

    Args:
        engine: The engine that gets it.
        layer: The base layer, for name and labels.
        scratch: Where a bootstrap may write (about 400 MB, removed again).
        on_line: Called with each line of output.

    Raises:
        ImageError: Neither way is open; the error says what to do.
    """
    try:
        return _pulled(engine, layer, on_line)
    except HostError as refusal:
        on_line(f"no registry gives {BASE_REFERENCE} ({refusal.message})")
        _require_bootstrap(refusal)
    on_line(f"bootstrapping Debian {BASE_SUITE} from the distribution's packages (about a minute)")
    return _bootstrapped(engine, layer, scratch, on_line)


def _pulled(engine: Engine, layer: Layer, on_line: OnLine) -> str:
    found = engine.image(BASE_REFERENCE)
    image = found.id if found else engine.pull(BASE_REFERENCE, on_line)
    dockerfile = File(DOCKERFILE, f"FROM {BASE_REFERENCE}\n".encode())
    return engine.build(
        context.pack(context.of_files([dockerfile])),
        layer.tag,
        dockerfile=DOCKERFILE,
        labels={**layer.labels, "corral.base.from": BASE_REFERENCE, _IMAGE: image},
        on_line=on_line,
    )


def _require_bootstrap(refusal: HostError) -> None:
    """Check that a bootstrap is possible here, and install what it needs.

    Raises:
        ImageError: It isn't.
    """
    if os.geteuid() != 0:
        raise ImageError(
            f"there is no base image: {refusal.message}; bootstrapping one needs root",
            cure="run `corral image build` once as root (the engine keeps the base for everyone), or load "
            f"{BASE_REFERENCE} into the engine (`docker pull`, or `docker load` from another machine)",
        )
    if _found("debootstrap"):
        return
    if not _found("apt-get"):
        raise ImageError(
            f"there is no base image: {refusal.message}; and this host has no debootstrap",
            cure=f"install debootstrap, or load {BASE_REFERENCE} into the engine (`docker load`)",
        )
    environment = {**_environment(), "DEBIAN_FRONTEND": "noninteractive"}
    _run(["apt-get", "-q", "update"], lambda _: None, environment)
    _run(
        ["apt-get", "-q", "install", "-y", "--no-install-recommends", "debootstrap"],
        lambda _: None,
        environment,
    )


def _bootstrapped(engine: Engine, layer: Layer, scratch: Path, on_line: OnLine) -> str:
    use = _host_mirrors()
    scratch.mkdir(parents=True, exist_ok=True)
    with _root_folder(scratch) as root:
        mirror = [] if use.main is None else [use.main]  # without one, it knows the distribution's own
        secure = ["--include=ca-certificates"] if (use.main or "").startswith("https:") else []
        _run(["debootstrap", "--variant=minbase", *secure, BASE_SUITE, str(root), *mirror], on_line)
        _finish(root, use)
        return _imported(engine, layer, root)


def _finish(root: Path, use: Mirrors) -> None:
    """Name the mirrors, keep services from starting in builds, and drop what was only downloaded."""
    sources = root / "etc/apt/sources.list"
    sources.write_text(use.sources(BASE_SUITE, sources.read_text() if sources.exists() else ""))
    policy = root / "usr/sbin/policy-rc.d"
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)
    (root / "etc/apt/apt.conf.d/80corral").write_text(
        'Acquire::Languages "none";\nAcquire::Retries "3";\nAPT::Install-Recommends "false";\n'
        'Dir::Cache::pkgcache "";\nDir::Cache::srcpkgcache "";\n'
    )
    for kind in ("archives", "lists"):
        place = root / ("var/cache/apt/archives" if kind == "archives" else "var/lib/apt/lists")
        for file in (f for f in place.rglob("*") if f.is_file() and f.name != "lock"):
            file.unlink()


def _imported(engine: Engine, layer: Layer, root: Path) -> str:
    command = ["tar", "-C", str(root), "--numeric-owner", "--one-file-system", "--exclude=./dev/*", "-c", "."]
    labels = {**layer.labels, "corral.base.from": f"debootstrap {BASE_SUITE}"}
    changes = [f'LABEL {name}="{value}"' for name, value in labels.items()]
    changes += ['CMD ["/bin/sh"]', f"ENV PATH={_SEARCH}"]
    repository, _, tag = layer.tag.partition(":")
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=_environment()) as archive:
        if archive.stdout is None:
            raise AssertionError("standard output is a pipe")
        image = engine.import_tar(archive.stdout, repository, tag, changes)
    if archive.returncode != 0:
        engine.remove_image(layer.tag)
        raise ImageError(f"the bootstrapped base could not be packed: tar ended with {archive.returncode}")
    return image


@contextmanager
def _root_folder(scratch: Path) -> Iterator[Path]:
    """A new directory for a root file system, removed afterwards with anything mounted below it."""
    top = Path(tempfile.mkdtemp(prefix="bootstrap-", dir=scratch))
    root = top / "root"
    root.mkdir()
    try:
        yield root
    finally:
        for mount in reversed(_mounts_below(top)):
            subprocess.run(["umount", str(mount)], check=False, env=_environment())
        if not _mounts_below(top):
            shutil.rmtree(top)


def _mounts_below(top: Path) -> list[Path]:
    rows = Path("/proc/self/mounts").read_text().splitlines()
    places = [Path(row.split()[1].encode().decode("unicode_escape")) for row in rows]
    return sorted(place for place in places if top.resolve() in place.parents)


def _host_mirrors() -> Mirrors:
    if not Path("/etc/debian_version").exists():
        return Mirrors()
    parts = _APT / "sources.list.d"
    one_line = [_APT / "sources.list", *sorted(parts.glob("*.list"))]
    return mirrors(_texts(one_line), _texts(sorted(parts.glob("*.sources"))))


def _texts(files: list[Path]) -> list[str]:
    return [file.read_text(errors="replace") for file in files if file.is_file()]


def _run(command: list[str], on_line: OnLine, environment: dict[str, str] | None = None) -> None:
    last: list[str] = []
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment or _environment(),
        text=True,
        errors="replace",
    ) as process:
        for line in process.stdout or ():
            last = [*last[-19:], line.rstrip()]
            on_line(line.rstrip())
    if process.returncode != 0:
        raise ImageError(
            f"bootstrapping the base failed: {command[0]} ended with exit code {process.returncode}: "
            f"{last[-1] if last else 'no message'}",
            cure="the log says which package or mirror; `apt-get update` must work on this host",
            log=tuple(last),
        )


def _found(program: str) -> bool:
    return shutil.which(program, path=_SEARCH) is not None


def _environment() -> dict[str, str]:
    """A plain environment for the distribution's tools; a proxy that the host needs is apt's to know."""
    return {"PATH": _SEARCH, "LC_ALL": "C", "HOME": "/root"}
