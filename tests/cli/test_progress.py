"""How far a command is goes to standard error, in lines where that is piped."""

import pytest

from rayrl.cli import progress as module
from rayrl.cli.progress import progress


def test_lines_now_and_then(monkeypatch, capsys):
    clock = iter([0.0, 4.0, 11.0, 11.0, 12.0, 30.0, 30.0])
    monkeypatch.setattr(module.time, "monotonic", lambda: next(clock))
    with progress("reading", "steps") as report:
        for done in (1, 2000, 3000, 4000):
            report(done, 5000)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.splitlines() == ["reading: 2,000 of 5,000 steps", "reading: 4,000 of 5,000 steps"]


def test_what_takes_no_time_says_nothing(capsys):
    with progress("reading", "steps") as report:
        report(1, 1)
    assert capsys.readouterr() == ("", "")


def test_an_error_passes(capsys):
    with pytest.raises(KeyboardInterrupt), progress("reading", "steps"):
        raise KeyboardInterrupt
