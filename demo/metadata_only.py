"""A build backend that answers pip's question for metadata and runs no line of the package.

Before pip hands over a source archive it asks the package's build backend for metadata, which for
most packages means running their `setup.py` on this machine. A copy of this file, put in the place of
that backend, answers with the metadata that every source archive carries anyway. It builds nothing.
It is run by itself, outside of this package, so it imports the standard library only.
"""

from __future__ import annotations

import shutil
import sys
from email.parser import HeaderParser
from pathlib import Path


def prepare_metadata_for_build_wheel(
    metadata_directory: str, config_settings: object = None, _allow_fallback: bool = True
) -> str:
    """The hook of PEP 517: make a `.dist-info` from the archive's `PKG-INFO` and return its name."""
    del config_settings
    headers = HeaderParser().parsestr(Path("PKG-INFO").read_text(encoding="utf-8"), headersonly=True)
    name = headers["Name"].replace("-", "_")
    folder = Path(metadata_directory, f"{name}-{headers['Version']}.dist-info")
    folder.mkdir()
    shutil.copyfile("PKG-INFO", folder / "METADATA")
    (folder / "WHEEL").write_text("Wheel-Version: 1.0\nGenerator: corral-demo\nRoot-Is-Purelib: true\n")
    return folder.name


__legacy__ = sys.modules[__name__]
"""The name by which pip calls the backend of packages without a `pyproject.toml`."""
