"""Which stages an experiment has, and what each of them depends on."""

import pytest

from rayrl.errors import StageError
from rayrl.pipeline import stages
from rayrl.pipeline.experiment import load_experiment
from rayrl.pipeline.stages import StageKind, consumed_by, plan, register_stage, stage_kind


@pytest.fixture
def experiment(tmp_path):
    def make(*overrides):
        path = tmp_path / "e.yaml"
        path.write_text("name: x\nenv: {id: CartPole-v1}\ncollect: {demonstrators: {random: 1}}\n")
        return load_experiment(path, overrides)

    return make


def names(experiment):
    return [unit.name for unit in plan(experiment)]


def test_the_plan_of_a_warm_start(experiment):
    made = experiment("architectures=[mlp_baseline, gru]")
    assert names(made) == ["collect", "pretrain-mlp_baseline", "pretrain-gru", "train", "evaluate", "report"]


def test_without_pretraining_there_are_no_demonstrations(experiment):
    assert names(experiment("conditions=[no_pretrain]")) == ["train", "evaluate", "report"]


def test_a_unit_consumes_only_what_its_architecture_needs(experiment):
    units = plan(experiment("architectures=[mlp_baseline, gru]"))
    consumed = {unit.name: [other.name for other in consumed_by(unit, units)] for unit in units}
    assert consumed["collect"] == []
    assert consumed["pretrain-gru"] == ["collect"]
    assert consumed["train"] == ["pretrain-mlp_baseline", "pretrain-gru"]
    assert consumed["report"] == ["collect", "pretrain-mlp_baseline", "pretrain-gru", "train", "evaluate"]


@pytest.mark.parametrize(
    ("override", "changed"),
    [
        ("seeds=[7]", {"pretrain-mlp_baseline", "train", "evaluate", "report"}),
        ("collect.steps=99", {"collect"}),
        ("train.total_steps=99", {"train"}),
        ("train.options.model_config.fcnet_hiddens=[8]", {"pretrain-mlp_baseline", "train"}),
        ("evaluate.episodes=99", {"evaluate"}),
        ("env.config.x=1", {"collect", "pretrain-mlp_baseline", "train", "evaluate", "report"}),
    ],
)
def test_more_seeds_or_longer_training_leave_the_demonstrations_as_they_are(experiment, override, changed):
    before, after = experiment(), experiment(override)
    differing = {
        unit.name for unit in plan(before) if unit.options(before.to_json()) != unit.options(after.to_json())
    }
    assert differing == changed


def test_an_architecture_more_does_not_pretrain_the_others_again(experiment):
    before, after = experiment(), experiment("architectures=[mlp_baseline, gru]")
    unit = plan(before)[1]
    assert unit.options(before.to_json()) == unit.options(after.to_json())


def test_every_stage_has_a_job_script(experiment):
    for unit in plan(experiment()):
        assert unit.kind.entry_point is not None
        assert unit.kind.entry_point.name == f"{unit.kind.name}.py"


def test_kinds_are_registered_once_and_after_what_they_consume(monkeypatch):
    monkeypatch.setattr(stages, "_kinds", {})
    register_stage(StageKind("a", run="m:f", reads=()))
    with pytest.raises(ValueError, match="registered already"):
        register_stage(StageKind("a", run="m:f", reads=()))
    with pytest.raises(ValueError, match="comes after \\['c'\\]"):
        register_stage(StageKind("b", run="m:f", reads=(), after=("a", "c")))
    assert stage_kind("a").entry_point is None


def test_an_unknown_stage_is_named_with_the_nearest():
    with pytest.raises(StageError, match="did you mean 'evaluate'"):
        stage_kind("evalute")
