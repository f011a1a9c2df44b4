"""Marks in a folder, as those who share it see them, and others do not."""

import pytest

from rayrl.errors import StorageError
from rayrl.pipeline import shared_folder
from rayrl.pipeline.shared_folder import Mark, marked, node_name, not_shared
from rayrl.storage.atomic import is_temporary


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(shared_folder, "_PATIENCE_S", 0.0)


def test_who_shares_the_folder_sees_the_mark_and_is_seen(tmp_path):
    with marked(tmp_path / "run") as mark:
        there = Mark(tmp_path / "run", mark.nonce)
        assert there.is_seen()
        there.answer("a")
        assert mark.unanswered(["a", "b"]) == ["b"]
    assert list((tmp_path / "run").iterdir()) == []
    assert not there.is_seen()


def test_another_folder_at_the_same_path_is_not_shared(tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    there.mkdir()
    mark = Mark.write(here)
    assert not Mark(there, mark.nonce).is_seen()
    # The other one has the answers, and not the question, of somebody else.
    Mark(there, mark.nonce).path.mkdir()
    Mark(there, mark.nonce).answer("a")
    assert mark.unanswered(["a"]) == ["a"]
    (mark.path / "asked").write_text("another nonce")
    assert not mark.is_seen()


def test_a_mark_that_a_killed_process_leaves_is_a_leftover(tmp_path):
    assert is_temporary(Mark.write(tmp_path).path)


def test_a_file_system_may_take_a_moment(tmp_path, monkeypatch):
    mark = Mark.write(tmp_path)
    asked = mark.path / "asked"
    asked.rename(tmp_path / "late")
    monkeypatch.setattr(shared_folder, "_PATIENCE_S", 60.0)
    monkeypatch.setattr(shared_folder.time, "sleep", lambda _: (tmp_path / "late").rename(asked))
    assert mark.is_seen()


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path):
    (tmp_path / "run").write_text("a file")
    with pytest.raises(StorageError, match=r"run: could not write a mark in the run folder"):
        Mark.write(tmp_path / "run")


def test_nodes_are_named_as_they_are_found_elsewhere(tmp_path):
    one, two = node_name("10.0.0.7", "6414017bdeadbeef"), node_name("10.0.0.8", "78d48599deadbeef")
    assert str(not_shared([one], tmp_path)).startswith(f"{tmp_path}: node 10.0.0.7 (6414017b): what is")
    assert ": nodes 10.0.0.7 (6414017b), 10.0.0.8 (78d48599): what" in str(not_shared([one, two], tmp_path))
