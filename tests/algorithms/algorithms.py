"""Small algorithms on an environment that can be restored, and what is compared of two of them."""

from typing import Any

import ray
import torch
from ray.tune import register_env

from rayrl.algorithms.actors import Order
from rayrl.algorithms.algorithm import ColumnarAlgorithm
from rayrl.algorithms.config import ColumnarConfig
from rayrl.algorithms.ppo import PPOConfig
from rayrl.algorithms.warm_start import warm_start
from rayrl.experience.batch import TrajectoryBatch
from rayrl.models.policy import Policy
from rayrl.models.weights import LoadReport
from tests.algorithms.stateful_env import make_stateful_cartpole

STATEFUL = "stateful-cartpole"
_M2 = torch.tensor([100.0, 200.0, 10.0, 300.0])


def stateful_ppo(workers: int = 0, learners: int = 0, env: str = STATEFUL, **training: Any) -> PPOConfig:
    """PPO with all that has a state: KL penalty, reward scaling, normalizer, schedules."""
    register_env(STATEFUL, make_stateful_cartpole)
    return (
        PPOConfig()
        .environment(env)
        .env_runners(num_env_runners=workers, num_envs_per_env_runner=3, num_cpus_per_env_runner=0.2)
        .learners(num_learners=learners, num_cpus_per_learner=0.2 if learners else "auto")
        .rl_module(model_config={"fcnet_hiddens": [16, 16], "normalize_observations": True})
        .training(
            **{
                "train_batch_size_per_learner": 128,
                "minibatch_size": 32,
                "num_epochs": 2,
                "use_kl_loss": True,
                "kl_target": 1e-4,
                "normalize_rewards": True,
                "lr": [[0, 0.003], [10_000, 0.0]],
                "entropy_coeff": [[0, 0.01], [10_000, 0.0]],
                **training,
            }
        )
    )


HELD = {
    "kl_ref": {"initial": 0.2, "final": 0.1, "schedule": "cosine", "decay_steps": 500},
    "temperature": {
        "queue_target": 0.1,
        "latency_target": 0.05,
        "queue_gain": 0.5,
        "pulse_interval": 3,
        "pulse_length": 2,
        "base": 1.2,
    },
    "stabilization": {"steps": 200},
    "entropy_min": 0.6,
    "target_kl": 0.5,
    "critic_warmup_updates": 1,
}
"""All that holds and steers PPO."""


def held_ppo(workers: int = 0, learners: int = 0, **training: Any) -> PPOConfig:
    """``stateful_ppo``, held to the policy that it starts from."""
    return stateful_ppo(workers, learners, **HELD | training)


def start(algorithm: ColumnarAlgorithm) -> Policy:
    """Starts training from a policy of some weights; gives the policy."""
    network = algorithm.learner_module().network
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            parameter.copy_(0.3 * torch.sin(torch.arange(parameter.numel()).view_as(parameter) + len(name)))
        count = torch.tensor(100.0)
        network.load_state_dict(network.state_dict() | {"normalizer.count": count, "normalizer.m2": _M2})
    loaded = LoadReport((), (), (), ())
    policy = Policy(network, architecture="mlp_baseline", provenance={}, report=loaded)
    warm_start(algorithm, policy, where="test")
    return policy


def off_policy(kind: type[ColumnarConfig], **training: Any) -> ColumnarConfig:
    """SAC or DQN with all that has a state, on the environment that can be restored; 24 steps a round."""
    register_env(STATEFUL, make_stateful_cartpole)
    return (
        kind()
        .environment(STATEFUL)
        .env_runners(num_envs_per_env_runner=3, num_cpus_per_env_runner=0.2, rollout_fragment_length=8)
        .rl_module(model_config={"fcnet_hiddens": [16], "normalize_observations": True})
        .replay(sampler="prioritized", capacity=150)
        .training(
            **{
                "train_batch_size_per_learner": 16,
                "num_steps_sampled_before_learning_starts": 40,
                "gradient_steps_per_env_step": 0.3,
                "n_step": 3,
                **training,
            }
        )
        .reporting(min_sample_timesteps_per_iteration=70)
    )


def state_of(algorithm: ColumnarAlgorithm) -> dict[str, Any]:
    """The complete state, but for the loggers of metrics, which hold timings."""
    state = algorithm.get_state()
    del state["metrics_logger"], state["learner_group"]["learner"]["metrics_logger"]
    return state


def metrics_of(result: dict[str, Any]) -> dict[str, Any]:
    """What a training iteration reports, but for timings."""
    kept = (
        "env_runners",
        "learners",
        "temperature",
        "stabilization_steps",
        "replay",
        "num_env_steps_sampled_lifetime",
        "training_iteration",
        "early_stop",
    )
    return {key: _untimed(result[key]) for key in kept if key in result}


def next_batches(algorithm: ColumnarAlgorithm) -> list[TrajectoryBatch]:
    """What the workers collect next."""
    samples = algorithm.workers.sample(Order(algorithm.weights, algorithm.config.total_train_batch_size))
    return [s.batch if isinstance(s.batch, TrajectoryBatch) else ray.get(s.batch) for s in samples]


def _untimed(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {
        key: _untimed(item)
        for key, item in value.items()
        if not any(part in key for part in ("second", "throughput", "per_s", "bytes", "items_sampled"))
    }
