"""A program of its own that sends one message on one way: whatever hangs or leaks in a client ends here.

It takes one JSON object on standard input and gives one on standard output: `problem`, empty if the message
was taken. Where the message goes to may be a secret; no problem says anything of it. It runs as a plain
script (`courier` starts it), so it imports nothing of Corral's.
"""

from __future__ import annotations

import json
import logging
import re
import shutil
import subprocess
import sys

import apprise

SERVICE_TIMEOUT = 20.0
"""Seconds in which a service takes a message, or does not."""

DESKTOP = "notify-send"
"""The program of most desktops that shows a message: libnotify's."""

_STATUS = re.compile(r"error=(\d{3})\b")


def main() -> None:
    """Send what standard input says, or only look whether it could be (`send` is false)."""
    asked = json.load(sys.stdin)
    problem = _to_desktop(asked) if asked["url"] is None else _to_service(asked)
    json.dump({"problem": problem}, sys.stdout)


def _to_desktop(asked: dict[str, str]) -> str:
    program = shutil.which(DESKTOP)
    if program is None:
        return f"there is no {DESKTOP} here: it comes with libnotify (Debian: libnotify-bin)"
    if not asked["send"]:
        return ""
    urgency = "critical" if asked["urgent"] else "normal"
    argv = [program, "--app-name=Corral", f"--urgency={urgency}", "--", asked["title"], asked["body"]]
    try:
        done = subprocess.run(argv, check=False, capture_output=True, timeout=SERVICE_TIMEOUT)
    except subprocess.TimeoutExpired:
        return f"{DESKTOP} took more than {SERVICE_TIMEOUT:.0f} s"
    except OSError as error:
        return f"{DESKTOP} can't be run: {error.strerror}"
    return f"{DESKTOP} ended with {done.returncode}: no desktop listens" if done.returncode else ""


def _to_service(asked: dict[str, str]) -> str:
    logger = logging.getLogger("apprise")
    logger.propagate = False  # what it logs is for nobody's eyes
    logger.addHandler(logging.NullHandler())
    schema, separator, _ = asked["url"].partition("://")
    if not separator:
        return "what was read is no URL, like json://host/path"
    if schema.lower() not in apprise.NotificationManager():  # type: ignore[no-untyped-call]
        return "no service is known that has such a URL"
    asset = apprise.AppriseAsset(
        app_id="Corral",
        app_desc="Corral",
        app_url="",
        image_url_mask="",
        image_url_logo="",
        storage_mode=apprise.PersistentStoreMode.MEMORY,
        service_timeout=SERVICE_TIMEOUT,
    )
    service = apprise.Apprise.instantiate(asked["url"], asset=asset)
    if service is None:
        return f"the URL is not complete for {schema.lower()}://, or that can't be used on this host"
    if not asked["send"]:
        return ""
    result = apprise.Apprise(services=[service], asset=asset).notify(
        title=asked["title"],
        body=asked["body"],
        body_format=apprise.NotifyFormat.TEXT,
        notify_type=apprise.NotifyType.WARNING if asked["urgent"] else apprise.NotifyType.INFO,
    )
    return "" if result else _why(result)


def _why(result: apprise.AppriseResult) -> str:
    """Why a message was not taken: a status or words of ours, for what was logged may hold a secret."""
    logged = " ".join(entry.message for service in result for entry in service.logs())
    status = _STATUS.search(logged)
    if status is not None:
        return f"the service refused it with status {status[1]}"
    if result.status == apprise.AppriseResultStatus.TIMEOUT:
        return f"the service did not take it within {SERVICE_TIMEOUT:.0f} s"
    return "the service can't be reached" if "onnection" in logged else "the service did not take it"


if __name__ == "__main__":
    main()
