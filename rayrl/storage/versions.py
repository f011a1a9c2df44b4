"""The versions of what wrote a file."""

from __future__ import annotations

import functools
import importlib.metadata
import platform
import subprocess
from pathlib import Path

_PACKAGES = ("rayrl", "ray", "torch", "numpy", "gymnasium", "pyarrow")


@functools.cache
def versions() -> dict[str, str]:
    """Versions by name: Python, rayrl, what it stands on, and rayrl's commit where it runs from a checkout.

    Nothing is imported for it. A commit with local changes ends in ``-dirty``.
    """
    found = {"python": platform.python_version()}
    found |= {package: importlib.metadata.version(package) for package in _PACKAGES}
    commit = git_commit(Path(__file__).resolve().parents[2])
    return found | ({"git": commit} if commit else {})


def git_commit(checkout: Path) -> str | None:
    """The commit of a git checkout, or None where ``checkout`` is not the root of one or git cannot tell."""
    if not (checkout / ".git").exists():
        return None
    command = ["git", "-C", str(checkout), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
