"""`python from_keyring.py SERVICE USER`: prints one entry of the operating system's keyring.

A program of its own, since what a keyring needs is large, and what it waits for may never come.
"""

from __future__ import annotations

import sys

EXIT_CODES = {
    3: ("there is no such entry", "`python -m keyring set {service} {user}` makes one"),
    4: (
        "no keyring is to be had here",
        "start the desktop's keyring in the session that runs Corral, or use a file or a command",
    ),
    5: ("it is locked, and was not unlocked", "unlock it, and see that it stays so for the night"),
    6: ("reading it failed", "try `python -m keyring get {service} {user}`"),
}
"""What an exit code other than 0 means, and what to do."""


def main(service: str, user: str) -> int:
    """Print the entry; an exit code says why it could not be had."""
    import keyring  # noqa: PLC0415 - only this process needs it, and only to be run
    from keyring import errors  # noqa: PLC0415

    try:
        found = keyring.get_password(service, user)
    except errors.NoKeyringError:
        return 4
    except (errors.KeyringLocked, errors.InitError):
        return 5
    except Exception:
        return 6
    if found is None:
        return 3
    sys.stdout.write(found)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
