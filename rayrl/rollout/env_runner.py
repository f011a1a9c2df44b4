"""ColumnarEnvRunner: RLlib's EnvRunner that samples TrajectoryBatches.

| consumes                      | waits for            | unblocked by                  |
|-------------------------------|----------------------|-------------------------------|
| weights (``set_state``)       | a ``sample`` call    | the algorithm's training step |
| its own environments          | nothing              |                               |

``sample`` returns a receipt and the batch. Called with ``num_returns=2`` on a remote worker, the batch stays
in the object store, owned by the caller: it outlives the worker, and only the receipt passes through the
caller.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial
from typing import Any

import gymnasium as gym
import ray
from gymnasium.vector import VectorEnv
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.core import COMPONENT_RL_MODULE, DEFAULT_MODULE_ID
from ray.rllib.env import INPUT_ENV_SINGLE_SPACES, INPUT_ENV_SPACES
from ray.rllib.env.env_context import EnvContext
from ray.rllib.env.env_runner import EnvRunner
from ray.rllib.utils.checkpoints import Checkpointable
from ray.rllib.utils.metrics import NUM_ENV_STEPS_SAMPLED_LIFETIME, WEIGHTS_SEQ_NO
from ray.tune.registry import ENV_CREATOR, _global_registry

from rayrl.config.seeding import Role
from rayrl.envs.demonstrators import make_demonstrator
from rayrl.experience.batch import TrajectoryBatch
from rayrl.experience.columns import ACTIONS, TEMPERATURE
from rayrl.models.policy_module import PolicyModule
from rayrl.rollout.behavior import Behavior, DemonstratorBehavior, PolicyBehavior, RandomBehavior
from rayrl.rollout.collector import Collector
from rayrl.rollout.origin import Origin
from rayrl.rollout.receipt import Receipt, count_actions
from rayrl.rollout.signals import SignalMeter
from rayrl.rollout.vector_env import AUTO, make_vector_env

COLLECTOR = "collector"
RANDOM = "random"
"""Who acts uniformly at random."""


class ColumnarEnvRunner(EnvRunner, Checkpointable):
    """Samples whole columns from a vector environment; takes RLlib's arguments and settings."""

    def __init__(self, *, config: AlgorithmConfig, **kwargs: Any) -> None:
        super().__init__(config=config, **kwargs)
        self.spaces = kwargs.get("spaces") or {}
        self.module: PolicyModule | None = None
        self._weights_seq_no = 0
        self._temperature: float | None = None
        self._collector: Collector | None = None
        if self.worker_index or self.config.create_env_on_local_worker or self.config.num_env_runners == 0:
            self.make_env()
        self.make_module()

    def make_env(self) -> None:
        """Builds the vector environment, in place of the present one."""
        config = self.config
        if self._collector is not None:
            self._collector.rebuild()
        else:
            origin = Origin(
                run=config.run_name,
                seed=config.seed or 0,
                producer=self.worker_index or 0,
                role=Role.evaluation if config.in_evaluation else Role.rollout,
            )
            self._collector = Collector(self._env_maker(), origin, max_env_failures=config.max_env_failures)
            if config.watched_signals:
                self._collector.signals = SignalMeter(config.watched_signals)
        self.env = self._collector.env
        self.num_envs = self.env.num_envs

    def make_module(self) -> None:
        """Builds the policy, without the parts that only the learner needs."""
        env = None if self.env is None else self.env.unwrapped
        spec = self.config.get_rl_module_spec(env=env, spaces=self.get_spaces(), inference_only=True)
        self.module = spec.build()
        self.module.eval()

    def sample(
        self,
        *,
        num_timesteps: int | None = None,
        num_episodes: int | None = None,
        explore: bool | None = None,
        random_actions: bool = False,
        force_reset: bool = False,
        acting: str | None = None,
        env_steps: int = 0,
    ) -> tuple[Receipt, TrajectoryBatch]:
        """Collects steps or whole episodes.

        Args:
            num_timesteps: rows of the batch, exactly. Default: the configured rollout fragment times the
                number of sub-environments, or, in ``complete_episodes`` mode, as many episodes as these.
            num_episodes: finished episodes, at least; starts with a reset.
            explore: sample actions (True), or take the most likely ones; default as configured.
            random_actions: act uniformly at random instead.
            force_reset: start new episodes first.
            acting: a demonstrator of the environment, or ``random``, that acts in place of the policy.
            env_steps: environment steps of all workers before, by which exploration goes.

        Returns:
            The receipt, and the batch.
        """
        collector = self._ready()
        if num_timesteps is None and num_episodes is None:
            if self.config.batch_mode == "truncate_episodes":
                fragment = self.config.get_rollout_fragment_length(self.worker_index)
                num_timesteps = fragment * self.num_envs
            else:
                num_episodes = self.num_envs
        rollout = collector.collect(
            self._behavior(
                self.config.explore if explore is None else explore,
                RANDOM if random_actions else acting,
                env_steps,
            ),
            num_steps=num_timesteps,
            num_episodes=num_episodes,
            policy_version=self._weights_seq_no,
            force_reset=force_reset,
        )
        self.env = collector.env  # another one, if it raised
        self.num_env_steps_sampled_lifetime += rollout.batch.num_steps
        receipt = Receipt(
            producer=self.worker_index or 0,
            epoch=collector.epoch,
            sequence=collector.sequence - 1,
            lengths=rollout.batch.lengths,
            policy_version=self._weights_seq_no,
            episodes=rollout.episodes,
            seconds=rollout.seconds,
            env_failures=rollout.env_failures,
            action_counts=count_actions(self.env.single_action_space, rollout.batch.columns[ACTIONS]),
            signals=collector.signals.take() if collector.signals is not None else {},
        )
        return receipt, rollout.batch

    def sample_with(
        self, weights: dict[str, Any], num_timesteps: int, acting: str | None = None, env_steps: int = 0
    ) -> tuple[Receipt, TrajectoryBatch]:
        """Takes over new weights and samples, in one call, so that neither can be lost without the other."""
        self.set_state(weights)
        return self.sample(num_timesteps=num_timesteps, acting=acting, env_steps=env_steps)

    def begin_epoch(self, epoch: int) -> None:
        """Numbers the batches of a restarted worker, so that none is taken for one of its predecessor's."""
        self._ready().begin_epoch(epoch)

    def get_spaces(self) -> dict[str, tuple[gym.Space[Any], gym.Space[Any]]]:
        """Observation and action spaces, by RLlib's names."""
        if self.env is None:
            return self.spaces
        single = (self.env.single_observation_space, self.env.single_action_space)
        return {
            INPUT_ENV_SPACES: (self.env.observation_space, self.env.action_space),
            INPUT_ENV_SINGLE_SPACES: single,
            DEFAULT_MODULE_ID: single,
        }

    def get_metrics(self) -> dict[str, Any]:
        """Nothing: what there is to say of a sample is in its receipt."""
        return {}

    def get_state(
        self,
        components: str | Collection[str] | None = None,
        *,
        not_components: str | Collection[str] | None = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Weights, counters, and all that the next sample depends on."""
        state: dict[str, Any] = {NUM_ENV_STEPS_SAMPLED_LIFETIME: self.num_env_steps_sampled_lifetime}
        if self.module is not None and self._check_component(COMPONENT_RL_MODULE, components, not_components):
            state[COMPONENT_RL_MODULE] = self.module.get_state(**kwargs)
            state[WEIGHTS_SEQ_NO] = self._weights_seq_no
        if self._collector is not None and self._check_component(COLLECTOR, components, not_components):
            state[COLLECTOR] = self._collector.get_state()
        return state

    def set_state(self, state: dict[str, Any]) -> bool:
        """Takes over whatever ``state`` holds.

        Weights are taken over whatever their version is: a restored checkpoint is often older than what runs.

        Returns:
            Whether the environments' own states came back, where the state has any.
        """
        exact = True
        if COLLECTOR in state:
            exact = self._ready().set_state(state[COLLECTOR])
        if COMPONENT_RL_MODULE in state and self.module is not None:
            weights = state[COMPONENT_RL_MODULE]
            if isinstance(weights, ray.ObjectRef):
                weights = ray.get(weights)
            self.module.set_state(weights.get(DEFAULT_MODULE_ID, weights))
            self._weights_seq_no = state.get(WEIGHTS_SEQ_NO, 0)
        if TEMPERATURE in state:
            self._temperature = state[TEMPERATURE]
        if NUM_ENV_STEPS_SAMPLED_LIFETIME in state:
            self.num_env_steps_sampled_lifetime = state[NUM_ENV_STEPS_SAMPLED_LIFETIME]
        return exact

    def get_ctor_args_and_kwargs(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """What RLlib stores to build a runner like this one."""
        return (), {"config": self.config}

    def assert_healthy(self) -> None:
        """Checks that environment and policy have been built."""
        assert self.env is not None
        assert self.module is not None

    def stop(self) -> None:
        """Closes the environment."""
        if self._collector is not None:
            self._collector.close()

    def _ready(self) -> Collector:
        if self._collector is None:
            raise ValueError("this worker has no environment; set create_env_on_local_worker")
        return self._collector

    def _behavior(self, explore: bool, acting: str | None, env_steps: int) -> Behavior:
        assert self.module is not None
        if acting is None:
            return PolicyBehavior(
                self.module,
                explore=explore,
                temperature=self._temperature,
                random_shares=self.config.random_shares(env_steps),
                for_replay=self.config.rollouts_for_replay,
            )
        collector = self._ready()
        if acting == RANDOM:
            module = None if self.config.rollouts_for_replay else self.module
            return RandomBehavior(collector.env.single_action_space, module)
        # One for each batch, with a seed of the batch's own: it has no state to be saved.
        draws = collector.origin.action_generator(collector.epoch, collector.sequence)
        seed = int(draws.integers(2**63))
        return DemonstratorBehavior(acting, make_demonstrator(str(self.config.env), acting, seed=seed))

    def _env_maker(self) -> Callable[[], VectorEnv]:
        config, env, env_config = self.config, self.config.env, dict(self.config.env_config)
        if isinstance(env, str) and _global_registry.contains(ENV_CREATOR, env):
            env = _global_registry.get(ENV_CREATOR, env)
        if callable(env):
            # RLlib's callables and classes take one dict, which also says which worker this is.
            context = EnvContext(env_config, self.worker_index or 0, num_workers=self.num_workers)
            env, env_config = partial(env, context), {}
        mode = str(gym.VectorizeMode(config.gym_env_vectorize_mode).value)
        return partial(
            make_vector_env,
            env,
            env_config,
            config.num_envs_per_env_runner,
            mode=AUTO if mode == "sync" and config.native_vectorization else mode,
        )
