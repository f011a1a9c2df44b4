"""Records: JSON lines that can be read while they are written."""

import logging

import pytest

from rayrl.pipeline.records import RecordHandler, RecordReader, last_records


@pytest.fixture
def log(tmp_path):
    """A logger whose records go to ``log.jsonl``."""
    logger = logging.Logger("rayrl.test")
    handler = RecordHandler(tmp_path / "log.jsonl", run="cart_20250102-030405")
    logger.addHandler(handler)
    yield logger
    handler.close()


def test_a_reader_gets_each_record_once(tmp_path, log):
    reader = RecordReader(tmp_path / "log.jsonl")
    log.info("%d of %d", 1, 2, extra={"fields": {"event": "progress", "done": 1}})
    (record,) = reader.read()
    assert record["message"] == "1 of 2"
    assert record["run"] == "cart_20250102-030405"
    assert (record["event"], record["done"], record["level"], record["logger"]) == (
        "progress",
        1,
        "INFO",
        "rayrl.test",
    )
    log.info("next")
    assert [record["message"] for record in reader.read()] == ["next"]
    assert reader.read() == []


def test_a_reader_from_the_end_leaves_out_what_is_there(tmp_path, log):
    log.info("before")
    reader = RecordReader(tmp_path / "log.jsonl", from_end=True)
    log.info("after")
    assert [record["message"] for record in reader.read()] == ["after"]


def test_half_a_line_waits_for_its_other_half(tmp_path):
    file = tmp_path / "log.jsonl"
    reader = RecordReader(file)
    assert reader.read() == []
    file.write_text('{"a": 1}\n{"a"')
    assert reader.read() == [{"a": 1}]
    file.write_text('{"a": 1}\n{"a": 2}\n')
    assert reader.read() == [{"a": 2}]


def test_a_line_that_a_killed_process_left_half_is_passed_over(tmp_path):
    file = tmp_path / "log.jsonl"
    file.write_text('{"a": 1}\n{"a"{"a": 2}\n{"a": 3}\n')
    assert last_records(file) == [{"a": 1}, {"a": 3}]


def test_the_newest_records_of_a_long_file(tmp_path):
    file = tmp_path / "log.jsonl"
    file.write_text("".join(f'{{"a": {number}, "pad": "{"x" * 80}"}}\n' for number in range(5000)))
    numbers = [record["a"] for record in last_records(file)]
    assert numbers == list(range(numbers[0], 5000))
    assert 500 < len(numbers) < 1000


def test_a_traceback_is_kept(tmp_path, log):
    try:
        raise ValueError("so")
    except ValueError:
        log.exception("failed")
    assert "ValueError: so" in last_records(tmp_path / "log.jsonl")[0]["traceback"]
