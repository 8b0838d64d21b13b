"""Reads credentials from where they are kept: a file, what a program prints, the system's keyring.

No error says anything of what was read.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import shutil
import signal
import stat
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from runner.accounts import FromCommand, FromFile, FromKeyring, Source, one_word
from runner.gateway.keys.from_keyring import EXIT_CODES

MAX_KEY = 64 * 1024
"""Bytes; a key is far shorter, a file of this size is the wrong one."""

COMMAND_TIMEOUT = 30.0
"""Seconds that a program may take: long enough for a person to unlock a keyring that asks."""

ENVIRONMENT = (
    "HOME", "PATH", "USER", "LOGNAME", "LANG", "LC_ALL", "TMPDIR",
    "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS",
    "DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY", "GNUPGHOME", "PASSWORD_STORE_DIR", "PYTHON_KEYRING_BACKEND",
)  # fmt: skip
"""The only variables that a program or a keyring gets: none of them holds a secret."""

INSTALL_KEYRING = "pip install 'corral[keyring]'"

_TRIES, _PAUSE = 5, 0.2
"""How often, and after how many seconds, a file is read again that is just being written anew."""


class CredentialError(Exception):
    """A credential can't be had: why, in words that say nothing of it; `cure` says what to do."""

    def __init__(self, why: str, cure: str = "") -> None:
        super().__init__(why)
        self.cure = cure


Stamp = tuple[int, int, int, int]
"""By which a changed file is known: its inode, size, and times of change."""


def stamp(path: str) -> Stamp | None:
    """The file's stamp; None if there is none to be had."""
    try:
        found = os.stat(path)  # noqa: PTH116 - beside the os.fstat below
    except OSError:
        return None
    return _stamp(found)


def _stamp(found: os.stat_result) -> Stamp:
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


async def read(source: FromFile | FromCommand | FromKeyring, environment: Mapping[str, str]) -> str:
    """The credential; `environment` is what programs get some of.

    Raises:
        CredentialError: It can't be had.
    """
    if isinstance(source, FromFile):
        return (await from_file(source))[0]
    if isinstance(source, FromCommand):
        return await from_command(source, environment)
    return await from_keyring(source, environment)


async def from_file(source: FromFile) -> tuple[str, Stamp]:
    """The key in a file, and the file's stamp. One that is empty or gone may just be being replaced.

    Raises:
        CredentialError: It is not there, can't be read, or holds no key.
    """
    for _ in range(_TRIES - 1):
        with suppress(CredentialError):
            return await asyncio.to_thread(read_file, source.path)
        await asyncio.sleep(_PAUSE)
    return await asyncio.to_thread(read_file, source.path)


def read_file(path: str) -> tuple[str, Stamp]:
    """As `from_file`, at once."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError as error:
        raise CredentialError(f"{path}: {error.strerror}", f"write the key to {path}, mode 600") from None
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            raise CredentialError(f"{path} is not a plain file", "name the file that holds the key")
        content = b""
        while len(content) <= MAX_KEY and (piece := os.read(fd, MAX_KEY)):
            content += piece
    except OSError as error:
        raise CredentialError(f"{path}: {error.strerror}") from None
    finally:
        os.close(fd)
    return _key(content, path), _stamp(found)


def look(source: Source | None) -> None:
    """See whether a credential is where it should be, as far as that can be told without running anything.

    Raises:
        CredentialError: It is not.
    """
    if isinstance(source, FromFile):
        read_file(source.path)
    if isinstance(source, FromCommand) and shutil.which(source.run[0]) is None:
        raise CredentialError(f"{source} is not installed", "name an installed program")
    if isinstance(source, FromKeyring) and not has_keyring():
        raise CredentialError("the library keyring is not installed", INSTALL_KEYRING)


_ALONE = "it should give the key and nothing else"


def _key(content: bytes, whose: str) -> str:
    if len(content) > MAX_KEY:
        raise CredentialError(f"{whose} gives more than {MAX_KEY} bytes", _ALONE)
    try:
        key = one_word(content.decode("ascii"))
    except (UnicodeDecodeError, ValueError):
        raise CredentialError(f"{whose} gives more than one word", _ALONE) from None
    if not key:
        raise CredentialError(f"{whose} gives nothing", _ALONE)
    return key


async def from_command(source: FromCommand, environment: Mapping[str, str]) -> str:
    """What a program prints.

    Raises:
        CredentialError: It can't be run, fails, prints no key, or takes too long.
    """
    code, content = await _run(source.run, environment, str(source))
    if code != 0:
        cure = f"run it by hand to see why; it gets {', '.join(ENVIRONMENT[:2])} and few other variables"
        raise CredentialError(f"{source} ended with {code}", cure)
    return _key(content, str(source))


async def from_keyring(source: FromKeyring, environment: Mapping[str, str]) -> str:
    """An entry of the keyring, read in a process of its own: whatever hangs in there can be ended.

    Raises:
        CredentialError: There is no such entry, no keyring, or it stays locked.
    """
    if not has_keyring():
        raise CredentialError("the library keyring is not installed", INSTALL_KEYRING)
    program = Path(__file__).with_name("from_keyring.py")
    argv = (sys.executable, "-P", str(program), source.service, source.user)
    code, content = await _run(argv, environment, str(source))
    if code != 0:
        why, cure = EXIT_CODES.get(code, (f"reading it ended with {code}", "try `python -m keyring get`"))
        raise CredentialError(f"{source}: {why}", cure.format(service=source.service, user=source.user))
    return _key(content, str(source))


def has_keyring() -> bool:
    """Whether the library is there."""
    return importlib.util.find_spec("keyring") is not None


END_TIMEOUT = 5.0
"""Seconds in which a program that was killed is gone; else the loop's own watcher takes leave of it later."""


async def _run(argv: tuple[str, ...], environment: Mapping[str, str], whose: str) -> tuple[int, bytes]:
    known = {name: environment[name] for name in ENVIRONMENT if name in environment}
    try:
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,  # it may say more than is meant for a log
            env=known,
            cwd="/",
            start_new_session=True,
        )
    except OSError as error:
        raise CredentialError(
            f"{whose} can't be run: {error.strerror}", "name an installed program"
        ) from None
    if process.stdout is None:
        raise AssertionError("its output is a pipe")
    try:
        async with asyncio.timeout(COMMAND_TIMEOUT):
            content = await _at_most(process.stdout)
            if len(content) <= MAX_KEY:
                await process.wait()
    except TimeoutError:
        raise CredentialError(
            f"{whose} took more than {COMMAND_TIMEOUT:.0f} s", "unlock what it waits for"
        ) from None
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            with suppress(TimeoutError):  # what left the group may hold the pipe for ever
                async with asyncio.timeout(END_TIMEOUT):
                    while await process.stdout.read(MAX_KEY):  # its end is not noticed while nobody reads
                        pass
                    await process.wait()
    return (process.returncode or 0) if len(content) <= MAX_KEY else 0, content


async def _at_most(stream: asyncio.StreamReader) -> bytes:
    content = b""
    while len(content) <= MAX_KEY and (piece := await stream.read(MAX_KEY)):
        content += piece
    return content
