"""Importing what other systems left as pickles: experience as a dataset, levels as JSON."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rayrl.errors import ConfigError, DataError, IntegrityError, RunError
from rayrl.experience.batch import TrajectoryBatch
from rayrl.experience.dataset import EnvInfo
from rayrl.experience.dataset_writer import DatasetWriter
from rayrl.experience.legacy.demonstrations import demonstration_batches, spaces_of_demonstrations
from rayrl.experience.legacy.layouts import LEVEL, REPLAY_BUFFER
from rayrl.experience.legacy.reading import Legacy, check_trust, read_legacy
from rayrl.experience.legacy.replay_buffers import Ends, buffer_batches, spaces_of_buffer
from rayrl.experience.legacy.report import ImportReport
from rayrl.experience.stored.opening import Progress
from rayrl.storage.atomic import atomic_folder, storage_errors, write_json, write_text
from rayrl.storage.hashing import sha256_file
from rayrl.storage.spaces import Spaces

LEVELS_FILE = "levels.jsonl"
REPORT_FILE = "import.json"
_SUFFIX = ".pkl"
_UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class LegacyOptions:
    """What a pickle does not say of itself.

    Args:
        spaces: of the environment; read off the columns when not given.
        env: the environment; where not given, its id is what stands before ``__`` in the name of the file's
            folder, else ``unknown``.
        num_envs: environments that took turns in a replay buffer's rollouts.
        ends: how its episodes ended.
    """

    spaces: Spaces | None = None
    env: EnvInfo | None = None
    num_envs: int = 1
    ends: Ends = "auto"


def import_legacy(
    path: Path,
    out: Path,
    *,
    trust: bool,
    options: LegacyOptions | None = None,
    progress: Progress | None = None,
) -> ImportReport:
    """Imports a pickled replay buffer or demonstration set as a dataset, or level files as JSON.

    The pickles are read by a process of their own, with an allow-list of what they may name, bounded memory
    and bounded time. The result stands in ``out`` whole, or not at all.

    Args:
        path: a file; or a folder, of which every ``*.pkl`` below it is a level.
        out: the folder to make: a dataset, or ``levels.jsonl``; the report is in the dataset's manifest under
            ``extra.import``, or in ``import.json``.
        trust: that its reader wants the pickles to be read.
        options: what the files do not say.
        progress: told of steps while they are written.

    Raises:
        ConfigError: ``trust`` is not given.
        IntegrityError: there is nothing, or it is no pickle, cut short, of no known layout, names what is not
            allowed, or asks for more memory or time than it may have.
        DataError: the contents do not fit the spaces, or nothing of them is usable.
        RunError: something stands at ``out``.
        StorageError: the disk is full or not writable.
    """
    options = options or LegacyOptions()
    files = _files(path)
    check_trust(path, trust)
    _check_target(out)
    report = ImportReport()
    parent = out.absolute().parent
    with storage_errors(out, "the import"):
        parent.mkdir(parents=True, exist_ok=True)
        scratch = tempfile.TemporaryDirectory(prefix=f".{out.name}.", suffix=".tmp", dir=parent)
    with scratch as folder:
        found = read_legacy(files, Path(folder))
        for one in found:
            report.drop_all(one.dropped)
        if all(one.layout == LEVEL for one in found):
            if options != LegacyOptions():
                raise ConfigError(
                    "holds levels, which --env, --num-envs and --ends say nothing of", where=str(path)
                )
            _write_levels(found, path, out, report)
        elif len(found) == 1:
            _write_dataset(found[0], out, options, report, progress)
        else:
            odd = next(one for one in found if one.layout != LEVEL)
            raise DataError(
                f"is a {odd.layout}, and no level",
                where=str(odd.path),
                remedy="import it by itself: name the file",
            )
    return report


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        files = sorted(file for file in path.rglob(f"*{_SUFFIX}") if file.is_file())
        if not files:
            raise IntegrityError(f"there is no {_SUFFIX} file below it", where=str(path))
        return files
    if not path.exists():
        raise IntegrityError("there is no such file", where=str(path))
    if not path.is_file():
        raise IntegrityError("is neither a file nor a folder", where=str(path))
    return [path]


def _check_target(out: Path) -> None:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise RunError("is there already", where=str(out), remedy="name a new folder")


def _write_dataset(
    legacy: Legacy, out: Path, options: LegacyOptions, report: ImportReport, progress: Progress | None
) -> None:
    digest = sha256_file(legacy.path)
    id_high = int(digest[:16], 16)
    is_buffer = legacy.layout == REPLAY_BUFFER
    spaces = options.spaces or (spaces_of_buffer if is_buffer else spaces_of_demonstrations)(legacy)
    if options.spaces is None:
        report.note(
            "spaces are read off the columns: bounds and the number of actions may be others; --env knows"
        )
    env = options.env or EnvInfo(id=_env_id(legacy.path))
    if is_buffer:
        batches = buffer_batches(
            legacy, spaces, id_high, num_envs=options.num_envs, ends=options.ends, report=report
        )
    else:
        if options.num_envs != 1 or options.ends != "auto":
            raise ConfigError("--num-envs and --ends are for replay buffers", where=str(legacy.path))
        batches = demonstration_batches(legacy, spaces, id_high, report=report)
    with (
        atomic_folder(out, "the import") as folder,
        DatasetWriter(folder, spaces=spaces, env=env) as writer,
    ):
        for batch in _told(batches, report, progress):
            writer.append(batch)
        writer.finish({"import": report.to_json() | {"file": legacy.path.name, "sha256": digest}})


def _told(
    batches: Iterator[TrajectoryBatch], report: ImportReport, progress: Progress | None
) -> Iterator[TrajectoryBatch]:
    done = 0
    for batch in batches:
        yield batch
        done += batch.num_steps
        if progress is not None:
            progress(done, report.read["steps"])


def _env_id(path: Path) -> str:
    """A run's folder is named ``<environment>__<script>__<seed>__<time>``."""
    name, mark, _ = path.absolute().parent.name.partition("__")
    return name if mark and name else _UNKNOWN


def _write_levels(found: list[Legacy], path: Path, out: Path, report: ImportReport) -> None:
    root = path if path.is_dir() else path.parent
    lines = []
    for one in found:
        level: dict[str, Any] = one.values | {"file": one.path.relative_to(root).as_posix()}
        if level["category"] is None and len(one.path.relative_to(root).parts) > 1:
            level["category"] = one.path.relative_to(root).parts[0]
        lines.append(level)
    for name in ("level_id", "sha256"):
        counts = Counter(json.dumps(level[name]) for level in lines)
        if repeated := sum(count - 1 for count in counts.values()):
            what = "ids" if name == "level_id" else "maps"
            report.note(f"{repeated} levels have {what} of levels before them; all are kept")
    categories = Counter(str(level["category"]) for level in lines)
    report.read |= {"layout": LEVEL, "levels": len(lines), "categories": dict(sorted(categories.items()))}
    text = "".join(json.dumps(level, ensure_ascii=False) + "\n" for level in lines)
    with atomic_folder(out, "the import") as folder:
        write_text(folder / LEVELS_FILE, text, "the levels")
        write_json(folder / REPORT_FILE, report.to_json(), "the import's report")
