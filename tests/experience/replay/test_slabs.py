import gc

import numpy as np
import pytest

from rayrl.experience.replay.slabs import empty


@pytest.mark.parametrize("nbytes", [8, 1 << 16, 1 << 20, 8 << 20])
def test_arrays_are_aligned_apart_and_can_be_written(nbytes: int) -> None:
    rows = nbytes // 8
    arrays = [empty((rows, 2), np.dtype(np.float32)) for _ in range(40)]
    for i, array in enumerate(arrays):
        assert array.flags.c_contiguous
        assert array.ctypes.data % 8 == 0
        array[:] = i
    assert [float(array.min()) for array in arrays] == [float(array.max()) for array in arrays]


def test_an_area_stays_while_an_array_of_it_does_and_is_used_again() -> None:
    shape, dtype = (1 << 20,), np.dtype(np.uint8)
    arrays = [empty(shape, dtype) for _ in range(200)]
    kept = arrays[100][10:20]
    kept[:] = 7
    del arrays
    gc.collect()
    for _ in range(200):
        empty(shape, dtype)[:] = 1
    assert (kept == 7).all()
