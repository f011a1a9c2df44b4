"""What all columnar learners do, on PPO's."""

import math

import numpy as np
import pytest
import safetensors.numpy
import torch
from ray.rllib.core.learner.training_data import TrainingData

from rayrl.algorithms.ppo.learner import PPOLearner
from rayrl.errors import TrainingError
from rayrl.experience.ragged import Ragged
from tests.algorithms.learners import assert_same, build, ppo_config, trajectories, update


def weights(learner):
    return {name: tensor.clone() for name, tensor in learner.policy.state_dict().items()}


def optimizer_state(learner):
    return learner.get_state("optimizer")["optimizer"]


def test_an_update_takes_the_steps_it_reports():
    learner = build(ppo_config(num_epochs=3))
    results = update(learner, trajectories([20, 30, 14]))
    assert results["gradient_steps"] == 12
    assert results["gradient_steps_skipped"] == 0
    assert results["num_module_steps_trained"] == 64
    assert results["num_trainable_parameters"] == sum(p.numel() for p in learner.policy.parameters())
    state = next(iter(learner.get_optimizer("default_policy").state.values()))
    assert state["step"].item() == 12


def test_the_same_seed_gives_the_same_bits_and_another_one_others():
    batch = trajectories([40, 24])
    learners = [build(ppo_config(num_epochs=2)) for _ in range(2)]
    results = [update(learner, batch) for learner in learners]
    assert_same(weights(learners[0]), weights(learners[1]))
    for result in results:
        del result["seconds"]
    assert results[0] == results[1]

    start = weights(learners[0])
    other = build(ppo_config(num_epochs=2).debugging(seed=1))
    other.policy.load_state_dict(start)
    update(other, batch)
    update(learners[0], batch)
    assert any(
        not torch.equal(a, b)
        for a, b in zip(weights(other).values(), weights(learners[0]).values(), strict=True)
    )


def test_minibatches_are_other_ones_in_each_epoch_and_update():
    orders = []

    class Noting(PPOLearner):
        def order(self, rows, numbers):
            orders.append(super().order(rows, numbers))
            return orders[-1]

    learner = build(ppo_config(num_epochs=2).learners(learner_class=Noting))
    update(learner, trajectories([64]))
    update(learner, trajectories([64]))
    assert len({order.tobytes() for order in orders}) == 4
    assert all(sorted(order) == list(range(64)) for order in orders)


def test_a_loss_that_is_not_a_number_ends_training_with_the_weights_as_they_were(tmp_path):
    learner = build(ppo_config(num_epochs=1, minibatch_size=None))
    learner.fault_folder = tmp_path / "faults"
    update(learner, trajectories([32]))
    before, state = weights(learner), optimizer_state(learner)
    batch = trajectories([32], seed=1)
    batch.columns["rewards"][5] = np.nan
    with pytest.raises(TrainingError, match="where advantages, value_targets of the batch are not") as error:
        update(learner, batch)
    assert_same(weights(learner), before)
    assert_same(optimizer_state(learner), state)
    (file,) = learner.fault_folder.iterdir()
    assert error.value.where == str(file)
    kept = safetensors.numpy.load_file(file)
    assert np.isnan(kept["value_targets"]).any()
    np.testing.assert_array_equal(kept["obs"], batch.columns["obs"])
    # Nothing but the batch was wrong.
    assert update(learner, trajectories([32], seed=2))["gradient_steps_skipped"] == 0


def test_only_the_minibatch_with_the_bad_row_is_left_out():
    learner = build(ppo_config(num_epochs=3))
    bad = learner.prepare(trajectories([64]))
    bad["value_targets"][17] = math.inf
    before = weights(learner)
    with pytest.raises(TrainingError, match="training: vf_loss, total_loss are not finite, where value_tar"):
        learner.run_epochs(bad, 3, 16)
    after = weights(learner)
    assert all(tensor.isfinite().all() for tensor in after.values())
    # The three others have been learned from.
    assert any(not torch.equal(before[name], tensor) for name, tensor in after.items())


@pytest.mark.parametrize(("by", "norm"), [("global_norm", 0.01), ("value", None)])
def test_gradients_are_clipped(by, norm):
    learner = build(ppo_config(num_epochs=1, minibatch_size=None, grad_clip=0.01, grad_clip_by=by))
    results = update(learner, trajectories([64]))
    assert results["gradient_norm"] > 0.1  # as it was before
    gradients = torch.cat([p.grad.flatten() for p in learner.policy.parameters()])
    if norm is None:
        assert gradients.abs().max() == pytest.approx(0.01)
    else:
        assert gradients.norm() == pytest.approx(norm, rel=1e-4)


def test_no_clipping_unless_asked():
    learner = build(ppo_config(num_epochs=1, minibatch_size=None, grad_clip=None))
    results = update(learner, trajectories([64]))
    gradients = torch.cat([p.grad.flatten() for p in learner.policy.parameters()])
    assert gradients.norm() == pytest.approx(results["gradient_norm"])


@pytest.mark.parametrize("kind", ["adam", "adamw"])
def test_the_optimizer_is_the_one_asked_for(kind):
    # One step of Adam from zero moments moves each parameter by lr · sign(gradient), AdamW first shrinks it.
    options = {"weight_decay": 0.5} if kind == "adamw" else {}
    learner = build(
        ppo_config(
            num_epochs=1,
            minibatch_size=None,
            lr=0.1,
            optimizer_type=kind,
            optimizer_options={"eps": 1e-12, **options},
        )
    )
    before = weights(learner)
    update(learner, trajectories([64]))
    parameter = learner.policy.network.value_head.linears[-1].bias
    decay = 1 - 0.1 * 0.5 if kind == "adamw" else 1
    expected = before["network.value_head.linears.0.bias"] * decay - 0.1 * parameter.grad.sign()
    torch.testing.assert_close(parameter.detach(), expected)


def test_the_learning_rate_follows_its_schedule():
    learner = build(ppo_config(num_epochs=1, lr=[[0, 0.1], [100, 0.0]]))
    name = "default_optimizer_learning_rate"
    # RLlib's schedule: the rate that an update leaves behind is that of the steps sampled when it ran.
    assert update(learner, trajectories([64]), env_steps=25)[name] == pytest.approx(0.075)
    assert update(learner, trajectories([64]), env_steps=200)[name] == 0
    before = weights(learner)
    update(learner, trajectories([64]), env_steps=300)
    assert_same(weights(learner), before)


@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16", "fp16"])
def test_every_precision_learns_much_the_same(precision):
    learner, reference = (build(ppo_config(num_epochs=2, precision=p)) for p in (precision, "fp32"))
    reference.policy.load_state_dict(weights(learner))
    batch = trajectories([40, 24])
    results, expected = update(learner, batch), update(reference, batch)
    # The first loss scale of fp16 may be too large, which costs a step.
    assert results["gradient_steps_skipped"] <= (precision == "fp16")
    for name in ("policy_loss", "vf_loss", "entropy"):
        assert results[name] == pytest.approx(expected[name], rel=0.05, abs=0.02)
    for name, tensor in weights(learner).items():
        assert tensor.dtype == torch.float32
        torch.testing.assert_close(tensor, weights(reference)[name], rtol=0, atol=0.01)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_ratios_start_at_1_in_every_precision(precision):
    # The rollout's own numbers, in fp32, differ from the learner's by some 1e-3.
    learner = build(ppo_config(precision=precision))
    batch = trajectories([64])
    obs, actions = (torch.from_numpy(batch.columns[name]) for name in ("obs", "actions"))
    with torch.no_grad():
        for parameter in learner.policy.parameters():
            parameter.normal_()
        logp = learner.policy.distribution.logp(learner.policy.policy({"obs": obs}), actions)
    batch.columns["action_logp"][:] = logp
    columns = learner.prepare(batch)
    with torch.no_grad(), learner.autocast():
        inputs = learner.policy.policy({"obs": obs})
    ratio = torch.exp(learner.policy.distribution.logp(inputs, actions) - columns["action_logp"])
    assert (ratio - 1).abs().max() < 1e-5
    assert (logp - columns["action_logp"]).abs().max() > 1e-4


def test_fp16_scales_its_loss_and_takes_the_scale_along():
    learner = build(ppo_config(num_epochs=1, precision="fp16"))
    batch = trajectories([64])
    batch.columns["rewards"][:] = 1e8  # overflows
    results = update(learner, batch)
    assert results["gradient_steps_skipped"] == 4
    state = learner.get_state()["training"]
    assert state["loss_scale"] == {"scale": 2.0**15 / 2**4, "finite_steps": 0.0}
    other = build(ppo_config(precision="fp16"))
    other.set_state(learner.get_state())
    assert other.get_state()["training"] == state


def test_text_and_ragged_columns_are_refused():
    learner = build(ppo_config())
    with pytest.raises(TrainingError, match="ragged"):
        learner.to_device(Ragged.from_text(["a"]))


def test_a_read_only_array_is_not_kept():
    learner = build(ppo_config())
    array = np.zeros(3, np.float32)
    array.flags.writeable = False
    tensor = learner.to_device(array)
    tensor += 1
    assert array.tolist() == [0, 0, 0]


def test_other_training_data_are_refused():
    with pytest.raises(TrainingError, match="ExperienceData"):
        build(ppo_config()).update(training_data=TrainingData())


def test_rllibs_own_loss_is_never_asked_for():
    with pytest.raises(TrainingError, match="columnar"):
        build(ppo_config()).compute_loss_for_module()


def test_a_learners_state_makes_another_one_go_on_bit_for_bit():
    config = ppo_config(
        {"normalize_observations": True},
        num_epochs=2,
        use_kl_loss=True,
        normalize_rewards=True,
        lr=[[0, 0.01], [99, 0]],
    )
    one, other = build(config), build(config)
    update(one, trajectories([30, 34]), env_steps=20)
    other.set_state(one.get_state())
    for learner in (one, other):
        update(learner, trajectories([64], seed=1), env_steps=40)
    a, b = one.get_state(), other.get_state()
    for state in (a, b):
        del state["metrics_logger"]
    assert_same(a, b)
    assert a["training"]["updates"] == 2
    assert a["training"]["reward_moments"][0] == 128


def test_an_older_state_replaces_newer_weights():
    learner = build(ppo_config(num_epochs=1))
    update(learner, trajectories([64]))
    state = learner.get_state()
    update(learner, trajectories([64], seed=1))
    learner.set_state(state)
    assert_same(learner.get_state("rl_module")["rl_module"], state["rl_module"])
    assert learner.get_state()["weights_seq_no"] == state["weights_seq_no"] == 1
