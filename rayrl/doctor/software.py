"""Versions of Python and packages, and how Ray would be reached."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from rayrl.doctor.finding import Finding, of_error
from rayrl.errors import RunError
from rayrl.storage.versions import versions

_TOKEN_FILE = Path(".ray", "auth_token")
"""Below the home folder: where Ray's clients look for a token at last."""


def check_versions() -> Finding:
    """Whether Python and the installed packages are those that rayrl was made for."""
    about = importlib.metadata.metadata("rayrl")
    return judge_versions(
        needs=about.get_all("Requires-Dist") or (),
        python=SpecifierSet(about["Requires-Python"]),
        installed=_installed,
    )


def judge_versions(
    *, needs: Iterable[str], python: SpecifierSet, installed: Callable[[str], str | None]
) -> Finding:
    """Compares what is needed with what is there.

    Args:
        needs: requirements; those of extras are left out.
        python: which versions of Python will do.
        installed: the version of a package; None where it is not installed.
    """
    facts = versions()
    wrong, missing = [], []
    if platform.python_version() not in python:
        wrong.append(f"Python {platform.python_version()} is not {python}")
    for requirement in map(Requirement, needs):
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        found = installed(requirement.name)
        if found is None:
            wrong.append(f"{requirement.name} is not installed")
            missing.append(requirement)
        elif not requirement.specifier.contains(found, prereleases=True):
            wrong.append(f"{requirement.name} {found} is not {requirement.specifier}")
            missing.append(requirement)
    if wrong:
        install = " ".join(f"'{requirement}'" for requirement in missing)
        remedy = f"pip install {install}" if missing else "make an environment with a newer Python"
        return Finding(
            check="versions", state="problem", message="; ".join(wrong), remedy=remedy, facts=facts
        )
    text = ", ".join(f"{name} {version}" for name, version in facts.items() if name != "git")
    return Finding(check="versions", state="ok", message=text, facts=facts)


def check_ray_access(
    address: str | None, environ: Mapping[str, str] = os.environ, home: Path | None = None
) -> Finding:
    """Which Ray ``rayrl run`` would use, and whether it lets this user in.

    Args:
        address: the cluster that was named; None takes a private Ray.
        environ: the environment, where Ray's clients find mode and token.
        home: the user's home folder.
    """
    mode = environ.get("RAY_AUTH_MODE")
    token = _token_source(environ, home or Path.home())
    facts: dict[str, Any] = {"address": address, "auth_mode": mode, "token_from": token}
    if address is None:
        text = "runs start a private Ray of their own, with a token of its own"
        return Finding(check="ray", state="ok", message=text, facts=facts)
    if mode == "token" and token is None:
        return Finding(
            check="ray",
            state="problem",
            message=f"RAY_AUTH_MODE=token, but there is no token for {address}",
            remedy="set RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH, or put the token into ~/.ray/auth_token",
            facts=facts,
        )
    if mode != "token" and token is not None:
        hint = f"; the token from {token} is sent only with RAY_AUTH_MODE=token"
    else:
        hint = ""
    from rayrl.pipeline.cluster import connect

    try:
        nodes = connect(address).nodes()
    except RunError as error:
        finding = of_error("ray", error)
        return finding.model_copy(update={"message": finding.message + hint, "facts": facts})
    cpus, gpus = (sum(node[name] for node in nodes) for name in ("CPU", "GPU"))
    facts |= {"nodes": len(nodes), "cpus": cpus, "gpus": gpus}
    text = f"{address} answers; nodes: {len(nodes)}, CPUs: {cpus:g}, GPUs: {gpus:g}"
    if mode == "token":
        return Finding(check="ray", state="ok", message=text, facts=facts)
    return Finding(
        check="ray",
        state="warning",
        message=f"{text}. It asks for no token: whoever reaches it can run code there",
        remedy="start it with RAY_AUTH_MODE=token and a token, and set both here",
        facts=facts,
    )


def _token_source(environ: Mapping[str, str], home: Path) -> str | None:
    """Where Ray's clients would find a token, in their order; the token itself is not looked at."""
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        if environ.get(name):
            return name
    file = home / _TOKEN_FILE
    return str(file) if file.is_file() else None


def _installed(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
