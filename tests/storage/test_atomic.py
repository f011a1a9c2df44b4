import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from rayrl.errors import IntegrityError, StorageError
from rayrl.storage.atomic import (
    atomic_file,
    atomic_folder,
    read_json,
    remove_leftovers,
    storage_errors,
    write_bytes,
    write_json,
    write_text,
)


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_a_file_appears_whole_and_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file"
    with atomic_file(path, "a file") as file:
        file.write(b"half")
        assert not path.exists()
        file.write(b" and half")
    assert path.read_bytes() == b"half and half"
    assert names(path.parent) == ["file"]


def test_after_an_error_the_old_file_stays_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_text(path, "old", "a file")

    def fail_midway() -> None:
        with atomic_file(path, "a file") as file:
            file.write(b"new")
            raise RuntimeError("midway")

    with pytest.raises(RuntimeError, match="midway"):
        fail_midway()
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file"]


def test_a_folder_appears_whole_and_replaces_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "folder"
    for text in ("first", "second"):
        with atomic_folder(path, "a folder") as folder:
            (folder / "sub").mkdir()
            (folder / "sub" / text).write_text(text)
            assert not (path / "sub" / text).exists()
        assert names(path / "sub") == [text]

    def fail_midway() -> None:
        with atomic_folder(path, "a folder") as folder:
            (folder / "third").write_text("third")
            raise RuntimeError("midway")

    with pytest.raises(RuntimeError, match="midway"):
        fail_midway()
    assert names(path / "sub") == ["second"]
    assert names(tmp_path) == ["folder"]


def test_files_keep_the_users_umask(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        write_bytes(tmp_path / "file", b"", "a file")
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o644


def test_json_keeps_its_order_and_comes_back(tmp_path: Path) -> None:
    value = {"z": [1, 2.5, None], "a": "é"}
    write_json(tmp_path / "file", value, "a file")
    assert list(read_json(tmp_path / "file", "a file")) == ["z", "a"]
    assert read_json(tmp_path / "file", "a file") == value
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "file", float("inf"), "a file")
    assert read_json(tmp_path / "file", "a file") == value


@pytest.mark.parametrize(("data", "words"), [(None, "plan is missing"), (b"{", "plan is not valid JSON")])
def test_json_that_cannot_be_read_is_named(tmp_path: Path, data: bytes | None, words: str) -> None:
    path = tmp_path / "plan.json"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(IntegrityError, match=words) as caught:
        read_json(path, "plan")
    assert caught.value.where == str(path)


def test_a_full_disk_is_named_with_its_remedy() -> None:
    # /dev/full answers every write as a full disk does.
    path = Path("/dev/full")
    with pytest.raises(StorageError) as caught, storage_errors(path, "the checkpoint"):
        path.write_bytes(b"data")
    assert caught.value.message == "could not write the checkpoint: the disk is full"
    assert caught.value.where == "/dev/full"
    assert "free space" in str(caught.value.remedy)


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES, errno.EDQUOT])
def test_other_causes_that_a_user_can_act_on_are_named(tmp_path: Path, code: int) -> None:
    with pytest.raises(StorageError) as caught, storage_errors(tmp_path, "the report"):
        raise OSError(code, os.strerror(code))
    assert "the report" in caught.value.message
    assert caught.value.remedy


def test_a_missing_input_inside_the_block_is_not_taken_for_a_failed_write(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), storage_errors(tmp_path, "the report"):
        (tmp_path / "input").read_bytes()


@pytest.mark.parametrize(
    "write",
    [
        lambda path: write_bytes(path, b"data", "the report"),
        lambda path: atomic_folder(path, "the report").__enter__(),
    ],
)
def test_a_file_where_a_folder_is_due_is_named(tmp_path: Path, write: Callable[[Path], object]) -> None:
    (tmp_path / "runs").write_text("a file")
    with pytest.raises(StorageError, match="a file stands where a folder is needed"):
        write(tmp_path / "runs" / "report")


def test_a_limit_on_the_files_size_leaves_nothing_behind(tmp_path: Path) -> None:
    program = """
import resource, sys
from pathlib import Path
from rayrl.errors import StorageError
from rayrl.storage.atomic import write_bytes
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    write_bytes(Path(sys.argv[1]), bytes(2000), "the replay")
except StorageError as error:
    print(error)
"""
    path = tmp_path / "replay"
    done = subprocess.run(
        [sys.executable, "-c", program, path], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.startswith(
        f"{path}: could not write the replay: the file would exceed the size limit\n"
    )
    assert names(tmp_path) == []


def test_leftovers_of_killed_processes_are_removed(tmp_path: Path) -> None:
    file, folder = atomic_file(tmp_path / "file", "a file"), atomic_folder(tmp_path / "folder", "a folder")
    file.__enter__().write(b"half")
    (folder.__enter__() / "inner").write_text("half")
    (tmp_path / ".kept").write_text("a hidden file of someone else")
    assert len(names(tmp_path)) == 3
    remove_leftovers(tmp_path)
    assert names(tmp_path) == [".kept"]


def test_leftovers_of_one_name_alone_are_removed(tmp_path: Path) -> None:
    begun = [atomic_folder(tmp_path / name, "a folder") for name in ("collect", "collected", "other")]
    for folder in begun:
        (folder.__enter__() / "inner").write_text("half")
    remove_leftovers(tmp_path, "collect")
    assert [name.rsplit(".", 2)[0] for name in names(tmp_path)] == [".collected", ".other"]
