"""What of the working directory is sent to a cluster: what Ray would pack, checked and told beforehand."""

import importlib
import sys
import zipfile

import pytest
from ray._private import ray_constants
from ray._private.runtime_env.packaging import create_package

from rayrl.errors import ConfigError, EnvError
from rayrl.pipeline import working_dir
from rayrl.pipeline.working_dir import imported_from, in_place, package_of


@pytest.fixture
def directory(tmp_path, monkeypatch):
    """A user's directory, from which a module of it was imported."""
    files = {
        "corridor_here.py": "from parts_here import walls",
        "parts_here/walls.py": "HEIGHT = 3",
        "data/levels.txt": "1 2 3",
        "data/.gitignore": "cache/\n",
        "data/cache/large": "x" * 1000,
        "secret.key": "secret",
        ".gitignore": "*.key\n",
        ".rayignore": "notes/\n",
        "notes/todo.md": "all",
        ".git/HEAD": "ref",
        "runs/corridor_1/run.json": "{}",
        "runs/corridor_1/large": "x" * 1000,
        "env/bin/python": "",
        "env/lib/python3.11/site-packages/other_here.py": "",
    }
    home = tmp_path / "home"
    for name, text in files.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(text)
    monkeypatch.syspath_prepend(home)
    monkeypatch.syspath_prepend(home / "env" / "lib" / "python3.11" / "site-packages")
    monkeypatch.setattr(sys, "prefix", str(home / "env"))
    for name in ("other_here", "corridor_here"):
        importlib.import_module(name)
    yield home
    for name in ("other_here", "corridor_here", "parts_here", "parts_here.walls"):
        sys.modules.pop(name, None)


def names(package, paths):
    return sorted(str(path.relative_to(package.directory)) for path in paths)


def test_what_is_sent_and_what_stays(directory):
    package = package_of(directory, directory / "runs")
    code = ["corridor_here.py", "data/.gitignore", "data/levels.txt", "parts_here/walls.py"]
    assert [name for name in names(package, package.files) if "__pycache__" not in name] == [
        ".gitignore", ".rayignore", *code,
    ]  # fmt: skip
    told = str(package)
    assert f"6 files of {directory}, 0." in told
    assert "without .git, data/cache, env, notes, runs and 1 more" in told
    assert "__pycache__" not in told


def test_other_runs_stay_too(directory):
    for name in ("runs/corridor_2", "kept"):
        (directory / name).mkdir()
        (directory / name / "run.json").write_text("{}")
    package = package_of(directory, directory / "runs" / "corridor_1")
    assert [name for name in names(package, package.files) if "run.json" in name] == []
    assert "kept" in names(package, package.left_out)


def test_it_is_what_ray_packs(directory, tmp_path):
    package = package_of(directory, directory / "runs" / "corridor_1")
    archive = tmp_path / "package.zip"
    create_package(
        str(directory), archive, include_gitignore=package.with_gitignore, excludes=list(package.excludes)
    )
    with zipfile.ZipFile(archive) as packed:
        found = {info.filename: info.file_size for info in packed.infolist() if not info.is_dir()}
        assert {info.compress_type for info in packed.infolist()} == {zipfile.ZIP_STORED}
    assert found == {str(path.relative_to(package.directory)): size for path, size in package.files.items()}


def test_gitignore_may_be_told_not_to_count_as_ray_has_it(directory, monkeypatch):
    monkeypatch.setenv("RAY_RUNTIME_ENV_IGNORE_GITIGNORE", "1")
    package = package_of(directory, directory / "runs")
    assert "secret.key" in names(package, package.files)


def test_nothing_is_sent_where_nothing_was_imported(tmp_path, directory):
    (tmp_path / "empty").mkdir()
    assert package_of(tmp_path / "empty", tmp_path / "runs") is None
    # Installed packages are on the cluster, or not: they do not travel.
    assert imported_from(directory / "env") == []


def test_more_than_the_dashboard_takes_is_refused_with_the_largest_files(directory):
    assert working_dir.MAX_BYTES == ray_constants.DASHBOARD_CLIENT_MAX_SIZE
    with (directory / "data" / "replay.bin").open("wb") as file:
        file.truncate(working_dir.MAX_BYTES)
    with pytest.raises(ConfigError, match=r"has 100\.0 MiB, .* takes 100\.0 MiB; .* data/replay\.bin \(100"):
        package_of(directory, directory / "runs")
    (directory / ".rayignore").write_text("data/\n")
    assert package_of(directory, directory / "runs") is not None


def test_a_home_folder_is_refused(directory, monkeypatch):
    monkeypatch.setattr(working_dir, "MAX_FILES", 3)
    with pytest.raises(ConfigError, match="has more than 3 files"):
        package_of(directory, directory / "runs")


def test_what_is_imported_must_not_be_ignored(directory):
    (directory / ".rayignore").write_text("parts_*/\n")
    with pytest.raises(EnvError, match=r"parts_here/walls\.py is imported, but .gitignore or .rayignore"):
        package_of(directory, directory / "runs")


def test_a_private_ray_runs_in_the_directory_itself(tmp_path):
    assert in_place(tmp_path / "a b#1") == f"local://{tmp_path}/a b#1"
