"""Manifests: what a stage consumed and produced. One that is there says that its stage is done."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rayrl.config.base import Config
from rayrl.errors import ConfigError, IntegrityError
from rayrl.storage.atomic import fsync_path, is_temporary, read_json, storage_errors, write_json
from rayrl.storage.hashing import sha256_file, sha256_json
from rayrl.storage.versions import versions

MANIFEST_FILE = "manifest.json"
FORMAT_VERSION = "1.0"

_WHAT = "the stage's manifest"
_START_AFRESH = "delete the folder, and the stage runs again"


class OutputFile(Config):
    """A file that a stage wrote."""

    bytes: int
    sha256: str


class Manifest(Config):
    """What a stage consumed and produced."""

    format_version: str = FORMAT_VERSION
    name: str
    """The stage, or the trial within it."""
    inputs: dict[str, str]
    """Digest of each input, by the path or the name of the stage that it came from."""
    options: dict[str, Any]
    """The options that decide the outputs, as plain JSON values."""
    outputs: dict[str, OutputFile]
    """By path relative to the manifest's folder."""
    versions: dict[str, str]
    created: str
    """ISO 8601, UTC."""
    extra: dict[str, Any]

    @property
    def outputs_sha256(self) -> str:
        """One digest of all outputs; a later stage records it as its input."""
        return sha256_json({path: file.sha256 for path, file in self.outputs.items()})


def write_manifest(
    folder: Path,
    *,
    name: str,
    inputs: Mapping[str, str],
    options: Mapping[str, Any],
    outputs: Iterable[str] | None = None,
    extra: Mapping[str, Any] | None = None,
) -> Manifest:
    """Declares a stage done: hashes its outputs, puts them on the disk, and writes the manifest last.

    Args:
        folder: the stage's folder.
        name: the stage, or the trial within it.
        inputs: digest of each input.
        options: the options that decide the outputs, as plain JSON values.
        outputs: files relative to ``folder``; every file below it when not given.
        extra: anything else worth keeping, as plain JSON values.

    Raises:
        StorageError: the disk is full or not writable.
        IntegrityError: an output is missing.
        ValueError: the options or ``extra`` hold NaN or an infinity, which JSON does not have.
    """
    paths = sorted(outputs) if outputs is not None else sorted(_files_below(folder))
    manifest = Manifest(
        name=name,
        inputs=dict(inputs),
        options=dict(options),
        outputs={path: _output_file(folder / path) for path in paths},
        versions=versions(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        extra=dict(extra or {}),
    )
    write_json(folder / MANIFEST_FILE, manifest.model_dump(), _WHAT)
    return manifest


def read_manifest(folder: Path) -> Manifest:
    """Reads the manifest of a stage's folder.

    Raises:
        IntegrityError: it is missing, damaged, or of a version that is not known.
    """
    path = folder / MANIFEST_FILE
    value = read_json(path, _WHAT)
    check_format_version(value, FORMAT_VERSION, path)
    try:
        return Manifest.parse(value, where=str(path))
    except ConfigError as error:
        raise IntegrityError(error.message, where=str(path), remedy=_START_AFRESH) from None


def reason_to_run(folder: Path, *, inputs: Mapping[str, str], options: Mapping[str, Any]) -> str | None:
    """Why a stage has to run, in words; None when it is done with the same inputs and options.

    Outputs are checked to be there in their sizes; ``verify_outputs`` checks their bytes.

    Raises:
        IntegrityError: there is a manifest, but it is damaged or of a version that is not known.
    """
    if not (folder / MANIFEST_FILE).exists():
        return "it has not finished yet"
    manifest = read_manifest(folder)
    changed = list(_differences(manifest.inputs, inputs, "input"))
    changed += _differences(manifest.options, options, "option")
    changed += _size_errors(folder, manifest)
    return "; ".join(changed) or None


def lost_output(folder: Path) -> str | None:
    """The first output of a stage that is missing, or not of its size, in words; None where all are there.

    Args:
        folder: the stage's; without a manifest there, that is what is missing.

    Raises:
        IntegrityError: the manifest is damaged or of a version that is not known.
    """
    if not (folder / MANIFEST_FILE).exists():
        return f"{MANIFEST_FILE} is missing"
    return next(_size_errors(folder, read_manifest(folder)), None)


def verify_outputs(folder: Path) -> Manifest:
    """Reads a stage's manifest and checks every byte of its outputs against it.

    Raises:
        IntegrityError: naming the first file that is missing or altered.
    """
    manifest = read_manifest(folder)
    for path, file in manifest.outputs.items():
        problem = _size_error(folder, path, file)
        if problem is None and sha256_file(folder / path) != file.sha256:
            problem = f"output {path} is altered: its sha256 is not the recorded one"
        if problem:
            raise IntegrityError(problem, where=str(folder / path), remedy=_START_AFRESH)
    return manifest


def check_format_version(value: Any, known: str, path: Path) -> None:
    """Refuses a manifest of a format version other than the known one.

    Args:
        value: the manifest as read.
        known: the version that this code reads.
        path: the manifest's file.

    Raises:
        IntegrityError: naming the file and both versions.
    """
    version = value.get("format_version") if isinstance(value, dict) else None
    if version != known:
        raise IntegrityError(
            f"format version {version!r} is not known",
            where=str(path),
            remedy=f"this rayrl reads version {known}; use the version of rayrl that wrote it",
        )


def _files_below(folder: Path) -> Iterator[str]:
    for entry in folder.iterdir():
        if is_temporary(entry) or entry.name == MANIFEST_FILE:
            continue
        files = filter(Path.is_file, entry.rglob("*")) if entry.is_dir() else [entry]
        yield from (file.relative_to(folder).as_posix() for file in files)


def _output_file(path: Path) -> OutputFile:
    digest = sha256_file(path)
    with storage_errors(path, "a stage's output"):
        fsync_path(path)
    return OutputFile(bytes=path.stat().st_size, sha256=digest)


def _size_errors(folder: Path, manifest: Manifest) -> Iterator[str]:
    return (text for path, file in manifest.outputs.items() if (text := _size_error(folder, path, file)))


def _size_error(folder: Path, path: str, file: OutputFile) -> str | None:
    if not (folder / path).is_file():
        return f"output {path} is missing"
    size = (folder / path).stat().st_size
    return None if size == file.bytes else f"output {path} has {size} bytes, not {file.bytes}"


def _differences(
    before: Mapping[str, Any], now: Mapping[str, Any], kind: str, prefix: str = ""
) -> Iterator[str]:
    """One phrase for each leaf that two JSON objects do not share."""
    for key in sorted(before.keys() | now.keys()):
        path = f"{prefix}{key}"
        if key not in now:
            yield f"{kind} {path} is gone"
        elif key not in before:
            yield f"{kind} {path} is new"
        elif isinstance(before[key], dict) and isinstance(now[key], dict):
            yield from _differences(before[key], now[key], kind, f"{path}.")
        elif before[key] != now[key] and kind == "input":
            yield f"input {path} changed"  # its digests would tell nobody anything
        elif before[key] != now[key]:
            yield f"{kind} {path} was {before[key]!r}, is {now[key]!r}"
