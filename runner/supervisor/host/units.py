"""Detached runs under systemd: a user unit for each, so that a run comes back after a reboot by itself.

A unit is written where `systemctl --user` works. It holds no secret: where a run needs a credential from a
variable, a plain process that inherits it is used instead. What is written here is systemd.service(5),
systemd.exec(5) and loginctl(1).
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from runner import names
from runner.errors import HostError

PATIENCE = 15.0
"""Seconds that `systemctl` may take."""

_KEPT = re.compile(
    r"PATH|LANG|LC_ALL|TZ|(CORRAL|DOCKER|XDG)_[A-Z_]+|(SSL_CERT_FILE|REQUESTS_CA_BUNDLE|NODE_EXTRA_CA_CERTS)"
    r"|(ANTHROPIC|OPENAI)_BASE_URL|GOOGLE_GEMINI_BASE_URL|(?i:(https?|no)_proxy)"
)
"""Variables that a supervisor needs; none of these is a credential (see `unit`)."""

_USERINFO = re.compile(r"//[^/@\s]*@")


@dataclass(frozen=True)
class Manager:
    """The user's own systemd."""

    units: Path
    """Where its units of this user lie."""
    environment: Mapping[str, str]

    def start(self, name: str, text: str) -> None:
        """Start a unit, now and whenever the user's systemd starts.

        Raises:
            HostError: It could not be started; nothing is left of it.
        """
        file = self.units / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        file.chmod(0o600)
        try:
            self._ask("daemon-reload")
            self._ask("enable", "--now", name)
        except HostError:
            self.forget(name)
            raise

    def lives(self, name: str) -> bool:
        """Whether a unit runs, or is about to run again; yes while systemd does not say."""
        try:
            state = self._ask("show", "--property=ActiveState", name)
        except HostError:
            return True
        return state.partition("=")[2].strip() in {"active", "activating", "reloading", "deactivating"}

    def forget(self, name: str) -> None:
        """Leave nothing of a unit for the next start; one that runs just now runs on."""
        for file in (self.units / name, self.units / "default.target.wants" / name):
            file.unlink(missing_ok=True)

    def _ask(self, *words: str) -> str:
        command = ["systemctl", "--user", *words]
        try:
            done = subprocess.run(
                command, check=True, capture_output=True, timeout=PATIENCE, env=dict(self.environment)
            )
            return done.stdout.decode(errors="replace")
        except (OSError, subprocess.SubprocessError) as error:
            said = getattr(error, "stderr", None) or b""
            why = " ".join(said.decode(errors="replace").split()) or str(error)
            raise HostError(f"`{' '.join(command)}` failed: {why}") from error


def manager(home: Path, environment: Mapping[str, str]) -> Manager | None:
    """The user's systemd, if there is one that answers.

    Args:
        home: The user's home directory.
        environment: That of the process.
    """
    runtime = environment.get("XDG_RUNTIME_DIR")
    if runtime is None or not (Path(runtime) / "systemd" / "private").exists():
        return None
    config = Path(environment.get("XDG_CONFIG_HOME") or home / ".config")
    found = Manager(config / "systemd" / "user", environment)
    try:
        found._ask("show-environment")  # noqa: SLF001 - of this module
    except HostError:
        return None
    return found


def lingers(user: str, folder: Path = Path("/var/lib/systemd/linger")) -> bool:
    """Whether that user's systemd starts with the machine, before a login (`loginctl enable-linger`)."""
    return (folder / user).exists()


def unit_name(home: Path, run: str) -> str:
    """What the unit of a run of a state directory is called."""
    return f"corral-{names.home_id(str(home))}-{run}.service"


def unit(run: str, command: Sequence[str], log: Path, environment: Mapping[str, str]) -> str:
    """The unit of a run.

    What it runs keeps the supervisor alive by itself (`runner.supervisor.ownership.keeper`). It is started
    again where it was killed or crashed, and not where it ended by itself, with whatever code: it has tried
    enough then.

    Args:
        run: The run.
        command: What works on it.
        log: Where that prints.
        environment: What of it is handed on is said by `_KEPT`; an address with a password in it is not.
    """
    kept = {
        name: value
        for name, value in sorted(environment.items())
        if _KEPT.fullmatch(name) and not _USERINFO.search(value) and value.isprintable()
    }
    variables = "".join(f"Environment={_quoted(f'{name}={value}')}\n" for name, value in kept.items())
    return (
        "[Unit]\n"
        f"Description=Corral run {run}\n"
        "StartLimitIntervalSec=600\n"
        "StartLimitBurst=5\n"
        "\n[Service]\n"
        "Type=exec\n"
        f"{variables}"
        f"ExecStart={' '.join([_quoted(command[0]), *map(_argument, command[1:])])}\n"
        f"StandardOutput=append:{_escaped(str(log))}\n"
        f"StandardError=append:{_escaped(str(log))}\n"
        "Restart=on-abnormal\n"
        "SuccessExitStatus=143\n"
        "RestartSec=5\n"
        "KillMode=process\n"
        "TimeoutStopSec=180\n"
        "\n[Install]\n"
        "WantedBy=default.target\n"
    )


def _argument(text: str) -> str:
    """An argument of a command, in which systemd sees no variable (systemd.service(5), "Command lines")."""
    return _quoted(text.replace("$", "$$"))


def _quoted(text: str) -> str:
    """One word of a command line or of a list of variables (systemd.syntax(7), "Quoting")."""
    return '"' + _escaped(text).replace("\\", "\\\\").replace('"', '\\"') + '"'


def _escaped(text: str) -> str:
    """Text in which systemd sees no specifier (systemd.unit(5), "Specifiers")."""
    return text.replace("%", "%%")
