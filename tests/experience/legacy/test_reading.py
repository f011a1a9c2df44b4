"""Foreign pickles are read by a process that can do no harm: what is malicious is refused, and never run."""

import os
import pickle
import struct
import sys
from collections import OrderedDict, defaultdict, deque
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rayrl.errors import ConfigError, IntegrityError
from rayrl.experience.legacy import reading, unpickler
from rayrl.experience.legacy.arrays import Array, RefusedError
from rayrl.experience.legacy.importing import import_legacy
from rayrl.experience.legacy.unpickler import ALLOWED, read_pickle
from tests.experience.legacy import pickles


class Reduces:
    """Pickles as a call."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


def nested(canary: Path) -> bytes:
    """A storage of PyTorch whose own small pickles call."""
    inner = pickle.dumps(Reduces(os.system, f"touch {canary}"), 2)
    return pickle.dumps({"obs": Reduces(torch.storage._load_from_bytes, inner)})


def deep(count: int) -> bytes:
    """A list in a list in a list…"""
    return b"\x80\x04" + b"]" * count + b"a" * (count - 1) + b"."


def deep_key(count: int) -> bytes:
    """A dict whose key is a tuple in a tuple in a tuple…: hashing it goes as deep."""
    return b"\x80\x04}" + b")" + b"\x85" * count + b"Ns."


def endless() -> bytes:
    """A dict that holds itself in a known place."""
    value = pickles.demonstrations(4)
    value["stats"]["itself"] = value["stats"]
    return pickle.dumps(value)


def exponential(count: int) -> bytes:
    """Tuples of the same tuple twice: hashing the last one goes over 2**count of them."""
    doubled = b"".join(b"q\x00h\x00\x86" for _ in range(count))
    return b"\x80\x04})" + doubled + b"Ns."


MALICIOUS = {
    "system": (
        lambda c: pickle.dumps(Reduces(os.system, f"touch {c}")),
        r"names posix\.system, .*at byte 2\d",
    ),
    "in a dict": (
        lambda c: pickle.dumps({"obs": [1, {"a": Reduces(os.system, f"touch {c}")}]}, 0),
        r"names posix\.system, which is not allowed \(opcode GLOBAL at byte \d+\)",
    ),
    "eval": (lambda c: pickle.dumps(Reduces(eval, f"open('{c}', 'w')")), r"names builtins\.eval"),
    "nested": (nested, r"names posix\.system within a storage"),
    "by attribute": (
        lambda c: b"\x80\x04\x8c\x08builtins\x8c\x0dlist.__init__\x93.",
        r"names builtins\.list\.__init__",
    ),
    "extension": (lambda c: b"\x80\x04\x82\x01.", "is no pickle, or a damaged one"),
    "persistent id": (lambda c: b"\x80\x04K\x01Q.", "refers to something outside of the file"),
    "sets a class's attribute": (
        lambda c: b"\x80\x04\x8c\x0bcollections\x8c\x0bOrderedDict\x93N}\x8c\x01aK\x01s\x86b.",
        "cannot set 'a' attribute of immutable type",
    ),
    "builds a class": (
        lambda c: (
            b"\x80\x04\x8c\x18active_rlhf.data.buffers\x8c\x0eTrajectoryInfo\x93N}\x8c\x01aK\x01s\x86b."
        ),
        "is no pickle, or a damaged one",
    ),
    "sets a function's attribute": (
        lambda c: b"\x80\x04\x8c\x07_codecs\x8c\x06encode\x93N}\x8c\x05_makeK\x01s\x86b.",
        "sets the attribute '_make' of a function",
    ),
    "huge bytes": (
        lambda c: b"\x80\x04\x8e" + struct.pack("<Q", 1 << 40) + b"x.",
        "asks for more memory|cut short",
    ),
    "huge memo": (lambda c: b"\x80\x04Nr\xff\xff\xff\x7f.", "asks for more memory"),
    "huge array": (lambda c: pickle.dumps(Reduces(bytearray, 1 << 40)), "asks for more memory"),
    "huge list": (lambda c: pickle.dumps(Reduces(list, Reduces(bytearray, 1 << 29))), "asks for more memory"),
    "deep": (lambda c: deep(1_000_000), "holds a list, and no known layout"),
    "deep key": (lambda c: deep_key(5_000_000), "SIGSEGV|nested too deeply"),
    "no pickle": (lambda c: b"PAR1 this is something else", "is no pickle, or a damaged one"),
    "empty": (lambda c: b"", "is no pickle, or a damaged one: EOFError"),
    "text": (lambda c: b"episode,reward\n1,2\n", "is no pickle, or a damaged one"),
    "cut short": (lambda c: pickle.dumps(pickles.demonstrations(9))[:-100], "is cut short"),
    "another layout": (
        lambda c: pickle.dumps({"weights": [1]}),
        "holds a dict with 'weights', and no known layout",
    ),
}


@pytest.mark.parametrize("name", MALICIOUS)
def test_what_is_malicious_or_damaged_is_refused_and_never_run(name: str, tmp_path: Path) -> None:
    make, message = MALICIOUS[name]
    canary, file = tmp_path / "canary", tmp_path / "file.pkl"
    file.write_bytes(make(canary))
    with pytest.raises(IntegrityError, match=message) as refused:
        import_legacy(file, tmp_path / "out", trust=True)
    assert not canary.exists()
    assert refused.value.where == str(file)
    assert "\n" not in refused.value.message
    assert [entry.name for entry in tmp_path.iterdir()] == ["file.pkl"]


def test_the_canary_would_sing(tmp_path: Path) -> None:
    """The pickles of the test above are what they are said to be."""
    file = tmp_path / "file.pkl"
    file.write_bytes(MALICIOUS["system"][0](tmp_path / "canary"))
    pickle.loads(file.read_bytes())
    assert (tmp_path / "canary").exists()


def test_what_takes_too_long_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file.pkl"
    file.write_bytes(exponential(60))
    monkeypatch.setattr(reading, "_CPU_S", 1)
    with pytest.raises(IntegrityError, match="takes more than 1 s of computing to read"):
        import_legacy(file, tmp_path / "out", trust=True)


def test_without_trust_nothing_is_read(tmp_path: Path) -> None:
    file = pickles.dump(tmp_path / "file.pkl", pickles.demonstrations(8))
    with pytest.raises(ConfigError, match="a pickle is a program") as refused:
        import_legacy(file, tmp_path / "out", trust=False)
    assert "--trust reads it" in str(refused.value)
    assert not (tmp_path / "out").exists()


def test_an_object_that_holds_itself_ends(tmp_path: Path) -> None:
    file = tmp_path / "file.pkl"
    file.write_bytes(endless())
    report = import_legacy(file, tmp_path / "out", trust=True)
    assert report.dropped == {"dict that has no JSON form": 3}


def test_a_zip_archive_is_named(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(3)}, tmp_path / "model.pt")
    with pytest.raises(IntegrityError, match=r"is a zip archive, as torch\.save writes"):
        import_legacy(tmp_path / "model.pt", tmp_path / "out", trust=True)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_arrays_numbers_and_containers_come_back(tmp_path: Path, protocol: int) -> None:
    value = {
        "list": [1, 2.5, "a", None, True, (1, b"\xff")],
        "set": {3},
        "ordered": OrderedDict(a=1),
        "deque": deque([1, 2], 5),
        "default": defaultdict(list, {"x": [1]}),
        "scalar": np.float32(1.5),
        "big": np.arange(6, dtype=">i4").reshape(2, 3),
        "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "bool": np.array([True, False]),
        "tensor": torch.arange(6).reshape(2, 3),
        "part": torch.arange(10.0)[2:5],
        "half": torch.ones(2, dtype=torch.float16),
        "info": pickles.TrajectoryInfo(3, 4, "val"),
    }
    found = read_pickle(pickles.dump(tmp_path / "file.pkl", value, protocol))
    same = ("list", "set", "ordered", "deque", "default", "scalar")
    assert {name: found[name] for name in same} == {name: value[name] for name in same}
    for name in ("big", "fortran", "bool", "tensor", "part", "half"):
        assert isinstance(found[name], Array)
        np.testing.assert_array_equal(found[name].values, np.asarray(value[name]))
    assert found["info"].fields["start_pos"] == 3


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.array([None]), "dtype 'O8', where numbers are due"),
        (np.array([(1, 2)], "i4,i4"), "structured dtype|dtype 'V8'"),
        (np.array(["a"]), "dtype 'U1', where numbers are due"),
        (torch.arange(6).reshape(2, 3).T, r"shape \(3, 2\) that is not contiguous"),
        (torch.zeros(1).expand(1 << 30), "not contiguous"),
    ],
)
def test_arrays_of_anything_else_are_refused(tmp_path: Path, value: Any, message: str) -> None:
    with pytest.raises(RefusedError, match=message):
        read_pickle(pickles.dump(tmp_path / "file.pkl", value))


def test_arrays_are_as_long_as_their_bytes(tmp_path: Path) -> None:
    data = pickle.dumps(np.arange(4, dtype=np.int64), 2)
    assert data.count(b"K\x04\x85") == 1
    (tmp_path / "file.pkl").write_bytes(data.replace(b"K\x04\x85", b"K\x05\x85"))
    with pytest.raises(RefusedError, match=r"array of shape \(5,\) in 32 bytes"):
        read_pickle(tmp_path / "file.pkl")


def test_the_list_has_nothing_that_acts() -> None:
    """Only containers, numbers, texts, and what this package defines."""
    for name, given in ALLOWED.items():
        home = type(given).__module__ if not isinstance(given, type) else given.__module__
        assert home in ("builtins", "collections") or home.startswith(unpickler.__package__), name


def test_the_process_has_little(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither this process's environment nor its working directory, and no module of it."""
    monkeypatch.setenv("SECRET", "x")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "numpy.py").write_text("raise SystemExit('another numpy')")
    file = pickles.dump(tmp_path / "file.pkl", pickles.demonstrations(8))
    seen = {}
    run = reading.subprocess.run

    def spy(*arguments: Any, **options: Any) -> Any:
        seen.update(options)
        return run(*arguments, **options)

    monkeypatch.setattr(reading.subprocess, "run", spy)
    import_legacy(file, tmp_path / "out", trust=True)
    assert "SECRET" not in seen["env"]
    assert sys.executable
