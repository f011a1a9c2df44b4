from pathlib import Path

import pytest

from rayrl.errors import IntegrityError
from rayrl.storage.hashing import sha256_file, sha256_json, sha256_path

ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-4's example


def test_a_file_has_the_published_digest(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    assert sha256_file(tmp_path / "abc") == sha256_path(tmp_path / "abc") == ABC


def test_json_is_hashed_by_meaning_not_by_order() -> None:
    assert sha256_json({"a": 1, "b": [1.5, None]}) == sha256_json({"b": [1.5, None], "a": 1})
    assert sha256_json({"a": 1}) != sha256_json({"a": 2})
    assert sha256_json("abc") == "6cc43f858fbb763301637b5af970e2a46b46f461f27e5a0f41e009c59b827b25"


def test_json_has_no_nan() -> None:
    with pytest.raises(ValueError, match="JSON"):
        sha256_json({"a": float("nan")})


def test_a_folder_changes_with_a_name_a_byte_and_a_file(tmp_path: Path) -> None:
    digests = set()
    for files in ({"a": b"1", "b/c": b"2"}, {"a": b"1", "b/d": b"2"}, {"a": b"1", "b/c": b"3"}, {"a": b"1"}):
        folder = tmp_path / str(len(digests))
        for name, data in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)
        digests.add(sha256_path(folder))
    assert len(digests) == 4
    assert sha256_path(tmp_path / "3") == sha256_json({"a": sha256_file(tmp_path / "3" / "a")})


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match="gone"):
        sha256_path(tmp_path / "gone")
