"""When the memory of a trial has grown, and what is to be changed then."""

import pytest

from rayrl.pipeline.chunk_record import ChunkRecord, memory_growth, read_record, write_record

MIB = 2**20


def record(chunk=1, start=None, end=None):
    sizes = {"memory_start_bytes": start and start * MIB, "memory_bytes": end and end * MIB}
    return ChunkRecord(chunk=chunk, end=5000 * chunk, step=5120 * chunk, exact=True, **sizes)


@pytest.mark.parametrize(
    ("of", "first", "told"),
    [
        (record(4, 400, 440), record(1, 390, 400), None),
        (record(4, 400, 441), record(1, 390, 400), "chunk 1 it had 400 MiB, at the end of chunk 4 441 MiB"),
        (record(4, 400, 441), record(1), None),
        (record(1, 600, 899), None, None),
        (record(1, 600, 901), None, "it had 600 MiB after its first iteration, and 901 MiB at step 5,120"),
        # Twice as much, but of little.
        (record(1, 100, 200), None, None),
        (record(2), record(1, 100, 200), None),
    ],
)  # fmt: skip
def test_growth_is_told_beyond_a_tenth_over_chunks_and_a_half_within_one(of, first, told):
    said = memory_growth(of, first, replay=False)
    if told is None:
        assert said is None
    else:
        assert told in said
        assert said.endswith("lower train.options.train_batch_size_per_learner")
        assert "train.replay.capacity" in memory_growth(of, first, replay=True)


def test_a_record_is_read_as_it_was_written(tmp_path):
    assert read_record(tmp_path, 3) is None
    write_record(tmp_path, record(3, 1, 2))
    assert read_record(tmp_path, 3) == record(3, 1, 2)
