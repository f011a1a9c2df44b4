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


def test_training_is_cut_into_chunks_of_which_each_consumes_the_one_before(experiment):
    # Where `chunks` is null, it is made.
    made = experiment("train.chunks.size=5000", "train.total_steps=12_000")
    assert names(made)[2:] == ["train-chunk1", "train-chunk2", "train-chunk3", "evaluate", "report"]
    units = plan(made)
    chunks = [unit.chunk for unit in units if unit.chunk]
    assert [(chunk.end, chunk.is_last) for chunk in chunks] == [
        (5000, False),
        (10_000, False),
        (12_000, True),
    ]
    consumed = {unit.name: [other.name for other in consumed_by(unit, units)] for unit in units}
    assert consumed["train-chunk1"] == ["pretrain-mlp_baseline"]
    assert consumed["train-chunk3"] == ["pretrain-mlp_baseline", "train-chunk2"]
    assert consumed["evaluate"] == ["pretrain-mlp_baseline", "train-chunk3"]
    # One chunk is all of training.
    for size in (12_000, 12_001):
        assert names(experiment(f"train.chunks.size={size}", "train.total_steps=12_000"))[2] == "train"


def test_a_chunk_is_an_uncut_training_of_its_length(experiment):
    short, cut = experiment("train.total_steps=5000"), experiment("train.chunks.size=5000")
    uncut = plan(short)[2].options(short.to_json())
    first, *_, last = (unit for unit in plan(cut) if unit.kind.name == "train")
    assert first.options(cut.to_json()) == uncut
    # So with more steps, or smaller chunks after it, it is done already.
    longer = experiment("train.chunks.size=5000", "train.total_steps=200_000")
    options = {unit.name: unit.options(longer.to_json()) for unit in plan(longer)}
    assert options["train-chunk1"] == uncut
    assert options["train-chunk20"] == last.options(cut.to_json())
    assert options["train-chunk20"] != options["train-chunk21"]


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
