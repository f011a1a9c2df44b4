"""A stage's error survives its way through a job's output."""

from rayrl.errors import EnvError, StorageError
from rayrl.pipeline.stage_error import from_output, to_line


def test_an_error_comes_back_as_what_it_was():
    error = StorageError("disk\nfull", where="/x", remedy="free some")
    found = from_output(f"2026 INFO hello\n{to_line(EnvError('old'))}\n{to_line(error)}\nbye\n")
    assert type(found) is StorageError
    assert (found.message, found.where, found.remedy) == ("disk\nfull", "/x", "free some")


def test_output_without_an_error_or_with_half_of_one_gives_none():
    line = to_line(EnvError("x"))
    assert from_output("all well\n") is None
    assert from_output(line[:-5]) is None
    assert from_output('rayrl-error: {"type": "SystemExit", "message": 1}') is None
