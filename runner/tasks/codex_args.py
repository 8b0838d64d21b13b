"""Which arguments a profile of Codex may add: none that change who answers it, where it works, or what it is.

The options are those of `codex exec --help` of version 0.169.0. What is not known here is refused: a word
that stands alone would be taken for the prompt, or for a command such as `review`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_FLAGS = frozenset(
    (
        "--strict-config",
        "--skip-git-repo-check",
        "--ignore-rules",
        "--dangerously-bypass-hook-trust",
        "--trust",
    )
)
_WITH_VALUE = frozenset(("-c", "--config", "--enable", "--disable", "--output-schema"))
_CONFIG = frozenset(("-c", "--config"))
_SETS = "remove it: Corral sets it itself"
_PLACE = "remove it: the work is what lies in the workspace"
_ANSWERS = "remove it: who answers is set by `upstream:` and on the host"
_BOX = "remove it: the box is the sandbox"
_OPTIONS = {
    **dict.fromkeys(("-m", "--model"), "write it as `model:`"),
    **dict.fromkeys(("--json", "--dangerously-bypass-approvals-and-sandbox", "--color"), _SETS),
    **dict.fromkeys(("-s", "--sandbox", "--approve-for-me"), _BOX),
    **dict.fromkeys(("-C", "--cd", "--worktree", "--add-dir"), _PLACE),
    **dict.fromkeys(("--oss", "--local-provider"), _ANSWERS),
    **dict.fromkeys(("-p", "--profile", "--ignore-user-config"), "write single settings as `-c NAME=VALUE`"),
    "--ephemeral": "remove it: what the box's home does not keep can't be resumed",
    **dict.fromkeys(("-i", "--image"), "remove it, and name the file in the prompt"),
}
_SETTINGS = {
    "model": "write it as `model:`",
    "model_reasoning_effort": "write it as `effort:`",
    "model_verbosity": "write it as `verbosity:`",
    **dict.fromkeys(
        ("model_provider", "model_providers", "openai_base_url", "chatgpt_base_url", "oss_provider"), _ANSWERS
    ),
    **dict.fromkeys(
        ("cli_auth_credentials_store", "forced_login_method", "forced_chatgpt_workspace_id"), _ANSWERS
    ),
    **dict.fromkeys(
        ("approval_policy", "sandbox_mode", "sandbox_workspace_write", "sandbox_permissions"), _BOX
    ),
    **dict.fromkeys(("profile", "profiles"), "write single settings as `-c NAME=VALUE`"),
}
_NAME = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")


def refusals(args: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """What can't be among the arguments: each with why not, or what to write instead."""
    words = iter(args)
    for word in words:
        option, value = _split(word)
        if cure := _OPTIONS.get(option):
            yield option, cure
            return
        if option in _WITH_VALUE:
            value = next(words, None) if value is None else value
            if value is None:
                yield option, "write its value as the next argument"
                return
            yield from _configured(option, value)
        elif option not in _FLAGS or value is not None:
            yield word, f"known are {', '.join(sorted(_FLAGS | _WITH_VALUE))}"


def _split(word: str) -> tuple[str, str | None]:
    """An option and the value that is written with it: `--config=a=b`, `-ca=b`, `-c=a=b`."""
    if word.startswith("--") or not word.startswith("-"):
        option, mark, value = word.partition("=")
        return option, value if mark else None
    return word[:2], word[2:].removeprefix("=") if len(word) > 2 else None


def _configured(option: str, value: str) -> Iterator[tuple[str, str]]:
    if option in _CONFIG:
        name = value.partition("=")[0].strip()
        if "=" not in value or not _NAME.fullmatch(name):
            yield f"{option} {value[:40]}", "write it like `-c NAME=VALUE`, the name without quotes"
        elif cure := _SETTINGS.get(name.partition(".")[0]):
            yield f"{option} {name}", cure
