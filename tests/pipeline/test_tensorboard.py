"""What TensorBoard is told, read back as TensorBoard reads it."""

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import plugin_data_pb2

from rayrl.errors import StorageError
from rayrl.pipeline import tensorboard
from rayrl.pipeline.trial_spec import TrialSpec
from tests.evaluation.results import result_of

SPEC = TrialSpec("mlp_baseline", "with_pretrain", 3)
LINE = {
    "step": 2048, "iteration": 1, "episode_return_mean": -5.0, "episode_len_mean": None,
    "learner": {"kl": 0.25}, "actions": {"0": 1.0}, "seconds": {"sample": 0.5, "rollout_wait": 0.125},
}  # fmt: skip


def read(trial):
    board = EventAccumulator(str(trial / tensorboard.FOLDER))
    board.Reload()
    return board


def scalars(trial):
    board = read(trial)
    return {
        tag: [(event.step, event.value) for event in board.Scalars(tag)] for tag in board.Tags()["scalars"]
    }


def test_numbers_of_an_iteration_by_tag(tmp_path):
    with tensorboard.open_board(tmp_path, after_step=0) as board:
        tensorboard.write_iteration(board, LINE)
    assert scalars(tmp_path) == {
        "train/iteration": [(2048, 1.0)],
        "train/episode_return_mean": [(2048, -5.0)],
        "train/learner/kl": [(2048, 0.25)],
        "train/actions/0": [(2048, 1.0)],
        "time/sample": [(2048, 0.5)],
        "time/rollout_wait": [(2048, 0.125)],
    }


def test_evaluations_stand_at_the_last_step_and_replace_each_other(tmp_path):
    with tensorboard.open_board(tmp_path, after_step=0) as board:
        tensorboard.write_iteration(board, LINE)
    for gain in (0.0, 1.0):
        as_trained, overload = result_of([1.0 + gain, 2.0 + gain]), result_of([-3.0, -4.0])
        tensorboard.write_evaluation(tmp_path, 2048, {"as_trained": as_trained, "overload": overload})
    found = scalars(tmp_path)
    assert found["eval/as_trained/episode_return"] == [(2048, 2.5)]
    assert found["eval/overload/episode_return"] == [(2048, -3.5)]
    assert found["train/episode_return_mean"] == [(2048, -5.0)]
    assert len(list((tmp_path / tensorboard.FOLDER).glob("*.eval"))) == 1


def test_the_hparams_view_knows_the_trial_and_its_options(tmp_path):
    options = {
        "env": {"id": "E-v0", "config": {"trace": None}},
        "train": {"options": {"lr": 1e-3, "layers": [64]}},
    }
    with tensorboard.open_board(tmp_path, after_step=0) as board:
        tensorboard.write_hparams(board, "cart_20261121-101500", SPEC, options)
    contents = {
        tag: plugin_data_pb2.HParamsPluginData.FromString(content)
        for tag, content in read(tmp_path).PluginTagToContent("hparams").items()
    }
    values = {
        name: getattr(value, value.WhichOneof("kind"))
        for name, value in contents["_hparams_/session_start_info"].session_start_info.hparams.items()
    }
    assert values == {
        "run": "cart_20261121-101500",
        "architecture": "mlp_baseline", "condition": "with_pretrain", "seed": 3.0,
        "env.id": "E-v0", "train.options.lr": 1e-3, "train.options.layers": "[64]",
    }  # fmt: skip
    shown = [metric.name.tag for metric in contents["_hparams_/experiment"].experiment.metric_infos]
    assert shown == ["train/episode_return_mean", "eval/as_trained/episode_return"]


def test_a_file_in_the_way_is_named(tmp_path):
    (tmp_path / tensorboard.FOLDER).touch()
    with pytest.raises(StorageError, match="the evaluation for TensorBoard"):
        tensorboard.write_evaluation(tmp_path, 0, {"as_trained": result_of([1.0])})
