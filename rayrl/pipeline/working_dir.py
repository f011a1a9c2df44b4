"""The user's working directory in a job: used where it is by a private Ray, and sent to any other cluster.

Either way it is the job's ``working_dir``: where its process and all workers run, and what they import from
first. It is sent only where something was imported from it, such as the environment's module. What is sent
is chosen by Ray's own rules, which are applied here beforehand, so that its size can be checked, and what it
leaves out be told; this is the one module that touches them.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ray._private.ray_constants import RAY_RUNTIME_ENV_IGNORE_GITIGNORE, get_runtime_env_default_excludes
from ray._private.runtime_env.packaging import _get_excludes, get_excludes_from_ignore_files

from rayrl.errors import ConfigError, EnvError
from rayrl.pipeline.run_folder import RunFolder

MAX_BYTES = 100 << 20
"""What the dashboard takes in one request; Ray packs files as they are, without compressing them."""
MAX_FILES = 20_000
"""More are taken for a mistake, such as a home folder."""
_LESS = "name what need not be sent in .rayignore there, or start in a folder that holds the code only"
_SHOWN = 5
# What is too large is told here; Ray would advise on the arguments of `ray.init`.
logging.getLogger("ray._private.runtime_env.packaging").setLevel(logging.ERROR)
_log = logging.getLogger(__name__)

Excludes = Callable[[Path], bool]


@dataclass(frozen=True, slots=True)
class Package:
    """What is sent of a directory.

    Args:
        directory: the directory.
        excludes: patterns of what stays here, besides those of its ignore files.
        with_gitignore: whether ``.gitignore`` counts.
        files: size in bytes by path, of all that is sent.
        left_out: what stays here: of a directory of which nothing is sent, only its own path.
    """

    directory: Path
    excludes: tuple[str, ...]
    with_gitignore: bool
    files: dict[Path, int]
    left_out: tuple[Path, ...]

    def __str__(self) -> str:
        text = f"{len(self.files)} files of {self.directory}, {_size(sum(self.files.values()))}"
        told = tuple(path for path in self.left_out if path.name != "__pycache__")
        return f"{text}; without {self._names(told)}" if told else text

    def check_size(self) -> None:
        """Makes sure that the dashboard would take it.

        Raises:
            ConfigError: it is too large, naming the largest files.
        """
        size = sum(self.files.values())
        if len(self.files) > MAX_FILES:
            text = f"has more than {MAX_FILES} files, and would be sent to the cluster"
        elif size > MAX_BYTES:
            largest = sorted(self.files, key=lambda path: -self.files[path])[:_SHOWN]
            sizes = ", ".join(
                f"{path.relative_to(self.directory)} ({_size(self.files[path])})" for path in largest
            )
            text = (
                f"has {_size(size)}, and would be sent to the cluster, which takes {_size(MAX_BYTES)}; "
                f"the largest files: {sizes}"
            )
        else:
            return
        raise ConfigError(text, where=f"the working directory {self.directory}", remedy=_LESS)

    def check_holds(self, sources: list[Path]) -> None:
        """Makes sure that no ignore file leaves out what was imported.

        Raises:
            EnvError: one does.
        """
        if missing := [path for path in sources if path not in self.files]:
            raise EnvError(
                f"{self._names(tuple(missing))} is imported, but .gitignore or .rayignore keeps it from "
                "being sent to the cluster",
                where=f"the working directory {self.directory}",
                remedy="take it out of there; a line `!NAME` in the same file makes an exception",
            )

    def _names(self, paths: tuple[Path, ...]) -> str:
        names = [str(path.relative_to(self.directory)) for path in paths]
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        return ", ".join(names[:_SHOWN]) + more


def in_place(directory: Path) -> str:
    """The URI of a directory that every node of the cluster has at the same path."""
    return f"local://{directory.absolute()}"


def package_of(directory: Path, runs: Path) -> Package | None:
    """What of a directory is to be sent to a cluster; None where nothing was imported from it.

    Args:
        directory: the working directory.
        runs: the folder of this run or of all: it stays here, as do other runs.

    Raises:
        ConfigError: it is too large to be sent, or cannot be read.
        EnvError: an ignore file leaves out what was imported.
    """
    directory = directory.resolve()
    sources = imported_from(directory)
    if not sources:
        return None
    stays = {path.resolve() for path in (runs, Path(sys.prefix), *_run_folders(directory))}
    below = sorted(f"/{path.relative_to(directory)}" for path in stays if directory in path.parents)
    excludes = (*get_runtime_env_default_excludes(), *below)
    with_gitignore = os.environ.get(RAY_RUNTIME_ENV_IGNORE_GITIGNORE, "0") != "1"
    files: dict[Path, int] = {}
    left_out: list[Path] = []
    try:
        for path, is_sent in _walk(directory, [_get_excludes(directory, list(excludes))], with_gitignore):
            if not is_sent:
                left_out.append(path)
            elif path.is_file():
                files[path] = path.stat().st_size
            if len(files) > MAX_FILES:
                break
    except PermissionError as error:
        raise ConfigError(
            f"{error.filename} is to be sent to the cluster, and cannot be read",
            where=f"the working directory {directory}",
            remedy=_LESS,
        ) from None
    package = Package(directory, excludes, with_gitignore, files, _topmost(left_out, directory, files))
    package.check_size()
    package.check_holds(sources)
    return package


def _run_folders(directory: Path) -> Iterator[Path]:
    """The runs in a directory, and in its folders."""
    for path in (*directory.glob("*"), *directory.glob("*/*")):
        if os.access(path, os.X_OK) and RunFolder(path).exists:
            yield path


def imported_from(directory: Path) -> list[Path]:
    """Files below a directory from which this process imported modules, apart from installed packages."""
    installed = [Path(path).resolve() for path in {sys.prefix, sys.base_prefix, *_site_packages()}]
    files = {
        Path(file).resolve()
        for module in list(sys.modules.values())
        # PyTorch has modules whose file is a bare name that stands for none.
        if (file := getattr(module, "__file__", None)) is not None and Path(file).is_absolute()
    }
    return sorted(
        file
        for file in files
        if file.is_relative_to(directory) and not any(file.is_relative_to(path) for path in installed)
    )


def _site_packages() -> list[str]:
    return [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]


def _topmost(left_out: list[Path], directory: Path, files: Iterable[Path]) -> tuple[Path, ...]:
    """For what is left out, the highest directories of which nothing is sent."""
    holders = {directory, *(parent for file in files for parent in file.parents)}
    tops = (next(up for up in (*reversed(path.parents), path) if up not in holders) for path in left_out)
    return tuple(dict.fromkeys(tops))


def _walk(path: Path, excludes: list[Excludes], with_gitignore: bool) -> Iterator[tuple[Path, bool]]:
    """Each path in turn, and whether it is sent; not what is below one that is not."""
    excludes = [*excludes, *get_excludes_from_ignore_files(path, with_gitignore, logger=_log)]
    is_sent = not any(leaves_out(path) for leaves_out in excludes)
    yield path, is_sent
    if is_sent and path.is_dir():
        for below in sorted(path.iterdir()):
            yield from _walk(below, excludes, with_gitignore)


def _size(count: int) -> str:
    return f"{count / (1 << 20):.1f} MiB" if count >= 1 << 20 else f"{count / (1 << 10):.1f} KiB"
