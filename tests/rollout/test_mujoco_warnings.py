"""MuJoCo's warnings are log records, and no file in the user's directory."""

import subprocess
import sys

import pytest

from rayrl.rollout.vector_env import make_vector_env

mujoco = pytest.importorskip("mujoco")


def test_an_unstable_simulation_is_a_log_record(tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    env = make_vector_env("InvertedPendulum-v5", {}, 1)
    env.reset(seed=0)
    (single,) = env.envs
    single.unwrapped.data.qpos[:] = 1e12
    mujoco.mj_step(single.unwrapped.model, single.unwrapped.data)
    env.close()
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert record.getMessage().startswith("MuJoCo: Nan, Inf or huge value in QPOS at DOF 0")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_what_is_wrong_with_gymnasiums_own_models_is_not_told(tmp_path, mode):
    program = f"""
from rayrl.rollout.vector_env import make_vector_env
env = make_vector_env("HalfCheetah-v5", {{}}, 2, mode={mode!r})
env.reset(seed=0)
env.close()
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("", "")
    assert list(tmp_path.iterdir()) == []


def test_whoever_takes_the_warnings_already_keeps_them(monkeypatch):
    before = mujoco.get_mju_user_warning()
    taken = []
    mujoco.set_mju_user_warning(taken.append)
    try:
        make_vector_env("HalfCheetah-v5", {}, 1).close()
    finally:
        mujoco.set_mju_user_warning(before)
    assert "settotalmass" in taken[0]
