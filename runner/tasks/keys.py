"""What looks like a credential, by file name or by text. Keys never enter a box, so these are refused.

The shapes are the public ones that the issuers document for secret scanning; a match is refused,
a miss proves nothing. Nothing here ever returns the text that matched.
"""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

KEY_FILES = (
    "*.pem", "*.key", "*.p12", "*.pfx", "*.ppk", "*.jks", "*.keystore", "*.kdbx", "*.asc", "*.gpg",
    "id_rsa", "id_dsa", "id_ecdsa", "id_ed25519", "id_ecdsa_sk", "id_ed25519_sk",
    ".npmrc", ".pypirc", ".netrc", "_netrc", ".git-credentials", ".pgpass", ".htpasswd", ".vault-token",
    "credentials", "credentials.*", ".credentials*", "secrets", "secrets.*", "service-account*.json",
    ".env.prod", ".env.production", ".env.live",
)  # fmt: skip
KEY_DIRECTORIES = (".ssh", ".aws", ".gnupg", ".kube", ".docker", ".azure", ".gcloud")

_KEY_TEXTS = {
    "an Anthropic key": r"sk-ant-[A-Za-z0-9_-]{8,}",
    "an API key (sk-…)": r"\bsk-(?:proj-)?[A-Za-z0-9_-]{20,}",
    "a GitHub token": r"\bgh[pousr]_[A-Za-z0-9]{20,}|\bgithub_pat_[A-Za-z0-9_]{20,}",
    "a GitLab token": r"\bglpat-[A-Za-z0-9_-]{16,}",
    "an AWS access key": r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
    "a Google API key": r"\bAIza[A-Za-z0-9_-]{30,}",
    "a Slack token": r"\bxox[abprs]-[A-Za-z0-9-]{10,}",
    "an npm token": r"\bnpm_[A-Za-z0-9]{30,}",
    "a PyPI token": r"\bpypi-[A-Za-z0-9_-]{40,}",
    "a Hugging Face token": r"\bhf_[A-Za-z0-9]{30,}",
    "a private key": r"-----BEGIN [A-Z ]*PRIVATE KEY-----",
    "a password in a URL": r"\b[a-z][a-z0-9+.-]*://[^\s/:@]*:[^\s/@]+@",
}


def key_file_rule(path: str) -> str | None:
    """The rule (a file name pattern, or a directory) by which `path` looks like a key, or None."""
    parts = [part.lower() for part in PurePosixPath(path).parts]
    for part in parts:
        if part in KEY_DIRECTORIES:
            return f"{part}/"
    name = parts[-1] if parts else ""
    return next((pattern for pattern in KEY_FILES if fnmatchcase(name, pattern)), None)


def key_text_rule(text: str) -> str | None:
    """What `text` contains that looks like a credential (“a GitHub token”), or None."""
    return next((what for what, pattern in _KEY_TEXTS.items() if re.search(pattern, text)), None)
