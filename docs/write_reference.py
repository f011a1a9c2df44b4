"""Writes docs/experiment.md, the reference of the experiment file, from the models that read it.

make docs
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pydantic

from rayrl.algorithms.options import ChunkOptions
from rayrl.algorithms.ppo.options import ReferenceKL, Stabilization, TemperatureControl
from rayrl.algorithms.registry import algorithm_config
from rayrl.config.reference import Option, options_of, summary_of, yaml_text
from rayrl.envs.spec import options_model, own_environments
from rayrl.models.architectures import MLPBaseline
from rayrl.pipeline.experiment import Experiment
from rayrl.rollout.options import PolicyDemonstrator, ScenarioOptions

PAGE = Path(__file__).parent / "experiment.md"

HEAD = """\
# The experiment file

<!-- written by docs/write_reference.py (`make docs`) from the models that read the file -->

One YAML (or JSON) mapping. Only `name` and `env.id` are required, and `collect.demonstrators` or
`collect.replays` unless `conditions` is `[no_pretrain]`, or the environment has a mix of its own. What is
left out has the default below; `config.json` in the run folder has the whole. An unknown key or a wrong value
is one message with line, value and remedy. `rayrl init` writes such a file for an environment.

```yaml
name: cartpole
seeds: [0, 1, 2]
env: {id: CartPole-v1}
conditions: [no_pretrain]
train: {total_steps: 50_000, options: {lr: 3.0e-4}}
```

`--set key.path=value` replaces a value, which is YAML; a part of the path that is a number is an index of a
list in the file: `--set train.total_steps=1e6`, `--set seeds.0=7`, `--set 'env.config={length: 20}'`.
Relative paths start at the file's folder, in `--set` at the working directory. Files and folders that are
named are copied into the run folder and recorded by hash.

Truth values are `true` and `false` (not `yes`, `on`), and `3e-4` is a number, as in YAML 1.2.
"""

SECTIONS: dict[str, type[pydantic.BaseModel]] = {
    "kl_ref": ReferenceKL,
    "temperature": TemperatureControl,
    "stabilization": Stabilization,
}
"""Sections below `train.options`."""
GUIDES = {
    "rayrl/Router-v0": "[router.md](router.md)",
    "rayrl/MineMaze-v0": "[mine_maze.md](mine_maze.md)",
}
"""Where there is more about an environment."""
OWN_PARTS = (ChunkOptions,)
"""Sections, which may be null, that have a part of their own."""
WARM_START = "[warm_start.md](guides/warm_start.md)"
ENTRIES: dict[str, type[pydantic.BaseModel]] = {
    "A policy in `collect.demonstrators`": PolicyDemonstrator,
    "A scenario of one's own in `collect.scenarios`": ScenarioOptions,
}
"""What may stand in place of a share."""

ALGORITHM = """\
## `train.options` of `{name}`

The names of `rayrl.algorithms.{config}`, which are RLlib's and some of rayrl's own. [rllib.md](rllib.md) has
what else there is to say about them; an option that would have no effect is an error.

| option | default | meaning |
| --- | --- | --- |
"""

PPO = {
    "lr": "learning rate, or a schedule `[[step, value], …]`",
    "gamma": "discount",
    "lambda_": "λ of generalized advantage estimation",
    "train_batch_size_per_learner": "environment steps of a batch, for each learner",
    "minibatch_size": "steps of a minibatch, for each learner",
    "num_epochs": "passes over a batch",
    "clip_param": "bound on the change of the probability ratio",
    "entropy_coeff": "weight of the entropy bonus, or a schedule",
    "vf_loss_coeff": "weight of the value loss",
    "vf_clip_param": "bound on the squared value error; null for none",
    "use_kl_loss": "whether a KL penalty is added",
    "kl_coeff": "weight of the KL penalty at the start",
    "kl_target": "KL divergence that the weight is adapted to; null for a weight that stays",
    "target_kl": "KL divergence from the policy that collected, a mean over an epoch in nats, beyond which "
    "`target_kl_action` is taken; null for no bound",
    "target_kl_action": "`stop_epochs` of this update, `warn` only, or `stop_training` as well",
    "entropy_min": "floor in nats under the mean entropy of a minibatch; null for none",
    "entropy_min_coeff": "weight of what is missing to that floor",
    "critic_warmup_updates": "first updates of trials that start from a policy: the value alone learns",
    "freeze_normalizer": "keep the observation normalizer as it is when training begins",
    "kl_ref": "options [below](#trainoptionskl_ref); null for no reference",
    "temperature": "options [below](#trainoptionstemperature); null samples from the policy itself",
    "stabilization": "options [below](#trainoptionsstabilization); null for none",
    "grad_clip": "bound on the gradient; null for none",
    "grad_clip_by": "`value`, `norm` or `global_norm`",
    "normalize_rewards": "divide rewards by the spread of discounted returns, in the learner",
    "optimizer_type": "`adam` or `adamw`",
    "optimizer_options": "`betas`, `eps`, `weight_decay`, `amsgrad`",
    "precision": "`fp32`; `tf32` and `bf16` on GPUs that have them; `fp16` with dynamic loss scaling",
    "max_env_failures": "how often an environment may raise with no episode or batch finished in between",
    "learner_timeout_s": "seconds that an update may take",
    "native_vectorization": "use the environment's own vector implementation",
    "metrics_num_episodes_for_smoothing": "finished episodes that `episode_return_mean` is over",
}
REPLAY = {
    "gamma": PPO["gamma"],
    "n_step": "steps of a return",
    "train_batch_size_per_learner": "steps of the minibatch of a gradient step, for each learner",
    "gradient_steps_per_env_step": "gradient steps for each environment step",
    "max_gradient_steps_per_round": "bound on the gradient steps of a round; null for none",
    "num_steps_sampled_before_learning_starts": "environment steps before learning, of random actions",
    "rollout_fragment_length": "steps of a round for each sub-environment; `auto` for 32 in all, or one each",
    "min_sample_timesteps_per_iteration": "environment steps of an iteration, at least",
    "tau": "share by which target networks move",
    "target_network_update_freq": "environment steps between two moves; 0 for one with every gradient step",
    **{
        name: PPO[name]
        for name in ("grad_clip", "grad_clip_by", "optimizer_type", "optimizer_options", "precision")
    },
}
SAC = {
    "actor_lr": "learning rate of the policy, or a schedule `[[step, value], …]`",
    "critic_lr": "the same of the critics",
    "alpha_lr": "the same of the temperature",
    "initial_alpha": "temperature at the start",
    "target_entropy": "entropy that the temperature aims at; `auto` for minus the number of an action's "
    "elements, or 0.98 of the highest one of Discrete actions",
    "twin_q": "two critics, of which the lower value counts",
    "q_model_config": "options of the critics in place of the policy's",
    **REPLAY,
}
DQN = {
    "lr": PPO["lr"],
    "epsilon": "how often an action is random, or a schedule",
    "double_q": "the learned network chooses the action whose value the target network gives",
    "dueling": "values are a state's value and the actions' advantages",
    "td_error_loss_fn": "`huber` or `mse`",
    **REPLAY,
}
OPTIONS = {"ppo": PPO, "sac": SAC, "dqn": DQN}
"""What is worth setting in an experiment file: the rest is set by its other sections, or is plumbing."""


def page() -> str:
    """The text of docs/experiment.md."""
    parts = [HEAD, "## Top level\n\n" + _table(options_of(Experiment))]
    for option in options_of(Experiment):
        if option.section is not None:
            parts.append(
                f"## `{option.name}`\n\n{_summary(option.section)}\n\n{_table(_flat(option.section))}"
            )
            if option.name == "env":
                parts += [_environment(env_id) for env_id in own_environments()]
            if option.name == "collect":
                for title, model in ENTRIES.items():
                    parts.append(_part(title, model, "[guides/demonstrations.md](guides/demonstrations.md)"))
            if option.name == "train":
                chunks = "[guides/resuming.md](guides/resuming.md#chunks)"
                parts.append(_part("`train.chunks`", ChunkOptions, chunks))
                parts += [_algorithm(name, meanings) for name, meanings in OPTIONS.items()]
                for name, section in SECTIONS.items():
                    parts.append(_part(f"`train.options.{name}`", section, WARM_START))
                parts.append(_part("`train.options.model_config`", MLPBaseline, "[rllib.md](rllib.md)"))
    return "\n".join(parts)


def _environment(env_id: str) -> str:
    model = options_model(env_id)
    assert model is not None
    return _part(f"`env.config` of `{env_id}`", model, GUIDES[env_id])


def _part(title: str, model: type[pydantic.BaseModel], further: str) -> str:
    return f"## {title}\n\n{_summary(model)} More in {further}.\n\n{_table(_flat(model))}"


def _summary(model: type[pydantic.BaseModel]) -> str:
    return _code(summary_of(model))


def _flat(model: type[pydantic.BaseModel], prefix: str = "") -> Iterator[Option]:
    """The options of a model and of the sections in it, by dotted names."""
    for option in options_of(model):
        if option.section is None:
            yield replace(option, name=prefix + option.name)
            if option.section_or_null not in (None, *OWN_PARTS):
                yield from _flat(option.section_or_null, f"{prefix}{option.name}.")
            continue
        for inner in _flat(option.section, f"{prefix}{option.name}."):
            key = inner.name.rsplit(".", 1)[-1]
            given = option.default or {}
            yield replace(inner, required=False, default=given[key]) if key in given else inner


def _table(options: Iterator[Option]) -> str:
    rows = [_row(option) for option in options]
    return _rows(["option", "values", "default", "meaning"], rows)


def _row(option: Option) -> list[str]:
    if option.section is not None:
        below = f"see [`{option.name}`](#{option.name}) below"
        default = "required" if option.required else ""
        return [f"`{option.name}`", "section", default, option.meaning or below]
    default = "required" if option.required else f"`{option.default_text}`"
    return [f"`{option.name}`", option.values, default, _code(option.meaning)]


def _rows(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    cells = [[cell.replace("|", "\\|") for cell in line] for line in lines]
    return "".join(f"| {' | '.join(line)} |\n" for line in cells)


def _algorithm(name: str, meanings: Mapping[str, str]) -> str:
    config = algorithm_config(name)
    rows = [
        f"| `{option}` | `{yaml_text(getattr(config, option))}` | {meaning} |\n"
        for option, meaning in meanings.items()
    ]
    return ALGORITHM.format(name=name, config=type(config).__name__) + "".join(rows)


def _code(text: str) -> str:
    return text.replace("``", "`")


if __name__ == "__main__":
    PAGE.write_text(page())
