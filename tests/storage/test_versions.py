import subprocess
from pathlib import Path

import ray

from rayrl.storage.versions import git_commit, versions


def test_versions_are_those_of_the_running_packages() -> None:
    assert versions()["ray"] == ray.__version__


def test_a_commit_is_that_of_the_checkout_and_of_no_folder_around_it(tmp_path: Path) -> None:
    def git(*arguments: str) -> str:
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
        command = ["git", "-C", str(tmp_path), *identity, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout.strip()

    git("init", "-q")
    (tmp_path / "file").write_text("1")
    git("add", "file")
    git("commit", "-q", "-m", "first")
    commit = git("rev-parse", "HEAD")
    assert git_commit(tmp_path) == commit
    (tmp_path / "file").write_text("2")
    assert git_commit(tmp_path) == f"{commit}-dirty"
    (tmp_path / "inner").mkdir()
    assert git_commit(tmp_path / "inner") is None
