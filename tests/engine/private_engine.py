"""An engine of a test's own, to be killed: away from the machine's network, containers and images."""

from __future__ import annotations

import contextlib
import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from runner.sandbox.engine import Engine


class PrivateEngine:
    """A container engine in a folder, in a network namespace of its own (a second one would otherwise
    take the machine's bridge away)."""

    def __init__(self, folder: Path, *options: str) -> None:
        self._folder = folder
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """For `DOCKER_HOST`."""
        return f"unix://{self._folder}/sock"

    def start(self) -> None:
        """Start it, also again, and wait until it answers."""
        for stale in ("pid", "exec/containerd/containerd.pid"):  # a killed process may stay as a zombie
            (self._folder / stale).unlink(missing_ok=True)
        name = self._folder.name
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *("unshare", "--net", "dockerd", "--host", self.address),
                    *("--data-root", f"{self._folder}/data", "--exec-root", f"{self._folder}/exec"),
                    *("--pidfile", f"{self._folder}/pid", "--bridge=none", "--iptables=false"),
                    *("--ip-forward=false", "--ip-masq=false", "--userland-proxy=false"),
                    *("--containerd-namespace", name, "--containerd-plugins-namespace", f"{name}-plugins"),
                    *self._options,
                ],
                stdout=log,
                stderr=log,
            )
        self._wait()

    def take_images(self, names: list[str]) -> None:
        """Copy images from the machine's engine."""
        with subprocess.Popen(["docker", "save", *names], stdout=subprocess.PIPE) as saving:
            loading = ["docker", "--host", self.address, "load", "--quiet"]
            subprocess.run(loading, stdin=saving.stdout, stdout=subprocess.DEVNULL, check=True)

    def kill(self) -> None:
        """Kill the daemon as a crash would; what runs in containers goes on."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(timeout=30)

    def stop(self) -> None:
        """Ask the daemon to end, as an upgrade does: it ends what runs first, unless that is to live on."""
        assert self._process is not None
        self._process.terminate()
        self._process.wait(timeout=60)

    def cut_the_power(self) -> None:
        """Kill the daemon, its shims and all that runs in containers, and take its mounts away."""
        assert self._process is not None
        victims = [*self._processes(), psutil.Process(self._process.pid)]
        for process in victims:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self._process.wait(timeout=30)
        psutil.wait_procs([one for one in victims if one.pid != self._process.pid], timeout=30)
        self._unmount()

    def containers(self) -> list[str]:
        """The names of all containers."""
        with Engine({"DOCKER_HOST": self.address}) as engine:
            return [box.name for box in engine.find(["corral.home"])]

    def clear(self) -> None:
        """End the daemon and everything it started, and remove all its files."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=30)
            self._process.kill()
            self._process.wait()
        for process in self._processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self._unmount()
        shutil.rmtree(self._folder)

    def _wait(self) -> None:
        until = time.monotonic() + 60
        while subprocess.run(["docker", "--host", self.address, "version"], capture_output=True).returncode:  # noqa: PLW1510 - its exit code is the answer
            assert time.monotonic() < until, (self._folder / "log").read_text()[-2000:]
            time.sleep(0.1)

    def _processes(self) -> list[psutil.Process]:
        """What it left running: its own helpers by their command lines, and what these started."""
        found = []
        for process in psutil.process_iter(["cmdline"]):
            if str(self._folder) in " ".join(process.info["cmdline"] or []):
                with contextlib.suppress(psutil.NoSuchProcess):
                    found += [*process.children(recursive=True), process]
        return found

    def _unmount(self) -> None:
        mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
        for mount in sorted((m for m in mounts if m.startswith(f"{self._folder}/")), reverse=True):
            subprocess.run(["umount", "--lazy", mount], check=True)


@contextmanager
def private_engine(*options: str) -> Iterator[PrivateEngine]:
    """An engine that runs, with these options besides; it and all it started are gone on leaving."""
    # The engine makes a namespace's name of this one, in which not every character may stand.
    folder = Path(tempfile.gettempdir()) / f"corral-engine-{secrets.token_hex(4)}"
    folder.mkdir(mode=0o700)
    engine = PrivateEngine(folder, *options)
    try:
        engine.start()
        yield engine
    finally:
        engine.clear()
