import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from rayrl.storage.hashing import HashingFile, sha256_file


@pytest.mark.parametrize("sizes", [[], [0], [3, 70_000, 5, 65_536, 65_535], [1] * 50, [1 << 20] * 12])
def test_the_digest_is_that_of_what_was_written(tmp_path: Path, sizes: list[int]) -> None:
    generator = np.random.default_rng(0)
    parts = [generator.bytes(size) for size in sizes]
    path = tmp_path / "file"
    with ThreadPoolExecutor(1) as executor, path.open("wb") as raw:
        file = HashingFile(raw, executor)
        assert [file.write(part) for part in parts] == sizes
        assert (file.tell(), file.closed) == (sum(sizes), False)
        file.flush()
        digest = file.digest().result()
    assert digest == hashlib.sha256(b"".join(parts)).hexdigest() == sha256_file(path)


def test_arrays_of_any_type_are_bytes(tmp_path: Path) -> None:
    array = np.arange(100_000.0).reshape(10, -1)
    with ThreadPoolExecutor(1) as executor, (tmp_path / "file").open("wb") as raw:
        file = HashingFile(raw, executor)
        file.write(array)
        assert file.digest().result() == hashlib.sha256(array.tobytes()).hexdigest()
