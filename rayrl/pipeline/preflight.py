"""What is checked before anything is submitted, in the order of what it costs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rayrl.config.base import nearest
from rayrl.errors import ConfigError
from rayrl.pipeline.experiment import Experiment
from rayrl.pipeline.resources import (
    Capacity,
    available_memory,
    read_autoscaler,
    require,
    this_machine,
)
from rayrl.storage.spaces import Spaces

if TYPE_CHECKING:
    from rayrl.envs.spec import EnvSpec
    from rayrl.pipeline.cluster import JobsClient

BOOTSTRAP_FILE = Path("~/ray_bootstrap_config.yaml")
"""Where the cluster launcher leaves its configuration on the head node."""

_OPTIONS = "train.options"
_REMEDY = "lower train.env_runners, train.learners, or the CPUs and GPUs of each; or name a larger cluster"


def check_machine(experiment: Experiment) -> None:
    """Makes sure that a private Ray on this machine can hold a trial.

    Raises:
        ResourceError: it cannot, naming the missing CPUs and GPUs, or the offline experience that a trial's
            process has no memory for.
        IntegrityError: the offline experience is damaged, or there is none.
    """
    from rayrl.algorithms.replay.offline import check_room

    machine = this_machine()
    require(
        experiment.train.trial_bundles(machine["GPU"]),
        Capacity((machine,)),
        where="this machine",
        remedy=_REMEDY,
    )
    train, offline = experiment.train, experiment.train.replay.offline_dataset
    if offline and not train.replay.shards(env_runners=train.env_runners, learners=train.learners):
        check_room(offline, available_memory())


def check_cluster(experiment: Experiment, client: JobsClient, cluster_file: Path | None) -> str | None:
    """Makes sure that a cluster has room for a trial, or may grow to have it.

    Args:
        experiment: the experiment.
        client: the cluster's Jobs API.
        cluster_file: the cluster launcher's YAML file; without it, the one that it left on the head node, if
            this is the head node.

    Returns:
        A warning where the trial does not fit into the nodes that are there, and nothing says whether others
        may be started; the train stage then fails after ``train.resource_timeout_s``.

    Raises:
        ResourceError: there is no room, naming the missing CPUs and GPUs.
        ConfigError: the cluster file is missing, or no cluster launcher's configuration.
        RunError: the cluster does not list its nodes.
    """
    there = Capacity(tuple(client.nodes()))
    bundles = experiment.train.trial_bundles(there.total("GPU"))
    if there.holds(bundles):
        return None
    file = cluster_file or BOOTSTRAP_FILE.expanduser()
    growing = read_autoscaler(file) if cluster_file or file.exists() else None
    if growing is None:
        return (
            "a trial does not fit into the cluster's present nodes, and what its autoscaler may start is not "
            f"known; the train stage fails after {experiment.train.resource_timeout_s:g} s without room"
        )
    require(experiment.train.trial_bundles(growing.total("GPU")), growing, where=str(file), remedy=_REMEDY)
    return None


def check_algorithm(experiment: Experiment) -> None:
    """Builds the algorithm's config of each architecture and condition.

    Raises:
        ConfigError: the algorithm, one of its options or an architecture is unknown or wrong, or discounts
            otherwise than the environment's reward is shaped for.
        EnvError: the environment cannot be built.
    """
    from rayrl.pipeline.trial_config import build_config
    from rayrl.pipeline.trial_spec import WARM_OPTIONS, trials_of

    for name in WARM_OPTIONS:
        if experiment.train.options.get(name) and not experiment.pretrains:
            raise ConfigError(
                f"{name} is for trials that start from a policy, and none does",
                where=_OPTIONS,
                remedy="add the condition with_pretrain, or leave it out",
            )
    if "with_pretrain_no_kl" in experiment.conditions and not experiment.train.options.get("kl_ref"):
        raise ConfigError(
            "with_pretrain_no_kl shows what kl_ref does, and there is no kl_ref",
            where="conditions",
            remedy=f"set {_OPTIONS}.kl_ref, or use with_pretrain",
        )
    shaped_for = _shaping_gamma(experiment)
    of_each_kind = {(spec.architecture, spec.condition): spec for spec in trials_of(experiment)}
    for spec in of_each_kind.values():
        config = build_config(experiment, spec, run_name="", gpus=0)
        try:
            config.validate()
        except ConfigError as error:
            raise ConfigError(error.message, where=_OPTIONS, remedy=error.remedy) from None
        except ValueError as error:
            raise ConfigError(str(error), where=_OPTIONS) from None
        if shaped_for not in (None, config.gamma):
            raise ConfigError(
                f"gamma = {config.gamma}, and {experiment.env.id} shapes its reward for "
                f"gamma = {shaped_for}, under which alone that is neutral",
                where=_OPTIONS,
                remedy=f"give both the same: {_OPTIONS}.gamma, and the environment's by env.config",
            )
        if experiment.pretrains and (remedy := config.refuses_clones):
            raise ConfigError(
                f"{experiment.train.algorithm} cannot start from a cloned policy",
                where="conditions: with_pretrain",
                remedy=remedy,
            )


def _shaping_gamma(experiment: Experiment) -> float | None:
    """The discount for which an environment says that its reward is shaped."""
    from rayrl.rollout.vector_env import declared, make_vector_env

    env = make_vector_env(experiment.env.id, experiment.env.config, num_envs=1)
    try:
        gamma: float | None = declared(env, "shaping_gamma", None)
    finally:
        env.close()
    return gamma


def check_demonstrators(experiment: Experiment) -> None:
    """Makes each demonstrator once, and the environment in each scenario; or reads and plays the replays.

    Raises:
        ConfigError: the environment has no demonstrator or scenario of that name, or one has other spaces; or
            the replays are of another environment.
        PolicyError: a policy that is to demonstrate has other spaces.
        IntegrityError: its folder is damaged.
        EnvError: the environment cannot be built in a scenario.
        DataError: a demonstrator cannot be made; or a file is no file of replays, or a replay in it does not
            come to what it records or does not fit the observations.
    """
    if experiment.collect.replays is not None:
        from rayrl.rollout.replay_demos import plan_replays  # needs the mine maze

        plan_replays(experiment.env, experiment.collect)
        return
    from rayrl.rollout.demo_plan import plan_demonstrations

    plan_demonstrations(experiment.env, experiment.collect)


def check_pretraining(experiment: Experiment) -> None:
    """Checks the options of pretraining against the environment, and loads the policy that it starts from, if
    there is one, into each architecture's network.

    Raises:
        ConfigError: an option does not go with the actions, or the architecture of the policy is not told.
        IntegrityError: the folder holds no policy, or a damaged one.
        PolicyError: the policy is of other spaces or of another architecture.
    """
    from rayrl.algorithms.bc.config import unfit_for
    from rayrl.pipeline.external_policy import external_weights, network_with

    spaces, options = check_environment(experiment), experiment.pretrain
    if problem := unfit_for(spaces.action, options.label_smoothing, options.balance):
        raise ConfigError(problem, where="pretrain", remedy="leave it out")
    weights = external_weights(experiment, spaces)
    if weights is not None:
        for name in experiment.architectures:
            network_with(weights, experiment, name, spaces)


def check_environment(experiment: Experiment) -> Spaces:
    """Builds the environment once, and for its spaces the networks of each architecture.

    Returns:
        The spaces.

    Raises:
        EnvError: it is unknown, or its constructor raised.
        SpaceError: no network reads its observations, or gives its actions.
        ConfigError: an architecture or one of its options is unknown or wrong.
    """
    from rayrl.models.actor_critic_network import ActorCriticNetwork
    from rayrl.pipeline.trial_config import network_config

    spaces = _spaces_of(experiment.env)
    for name in experiment.architectures:
        config = network_config(experiment, name, spaces.action)
        try:
            ActorCriticNetwork(spaces.observation, spaces.action, config)
        except ConfigError as error:
            where = f"architecture {name}: {error.where}"
            raise ConfigError(error.message, where=where, remedy=error.remedy) from None
    return spaces


def check_evaluation(experiment: Experiment) -> str | None:
    """Checks the options that the environment has in each category, and that policies fit it there.

    Returns:
        A warning where levels are played that training may play as well.

    Raises:
        ConfigError: the suite or an option is unknown or wrong, or a category has other spaces.
        DataError: the suite's file is damaged.
        EnvError: the environment cannot be built with a category's options.
    """
    from rayrl.evaluation.environment import evaluation_spec
    from rayrl.evaluation.seen_levels import seen_in_training
    from rayrl.evaluation.suites import categories_of

    options, trained = experiment.evaluate, _spaces_of(experiment.env)
    categories = categories_of(experiment.env, options.suite, options.categories, levels=options.levels)
    for name, category in categories.items():
        where = f"evaluate, category {name}"
        spec = evaluation_spec(experiment.env, {**options.env_config, **category.changes}, where=where)
        if differences := trained.differences(_spaces_of(spec)):
            raise ConfigError(
                f"its spaces are not those of the training: {'; '.join(differences)}",
                where=where,
                remedy="leave out the options that change them",
            )
    return seen_in_training(experiment.env, categories, options.env_config)


def check_report(experiment: Experiment) -> None:
    """Makes sure that the demonstrator that is to score 1 is one that plays, and better than at random.

    Raises:
        ConfigError: there is no such demonstrator, or it is the one that scores 0.
    """
    from rayrl.envs.demonstrators import demonstrators_for
    from rayrl.report.run_data import RANDOM

    reference = experiment.report.reference
    known = {*demonstrators_for(experiment.env.id), *experiment.collect.demonstrators} - {RANDOM}
    if reference is None or reference in known:
        return
    why = "acts at random, and scores 0" if reference == RANDOM else "is no demonstrator that is evaluated"
    raise ConfigError(
        f"report.reference = {reference!r} {why}",
        where="report",
        remedy=nearest(reference, known) if known else f"{experiment.env.id} has none; leave it out",
    )


def _spaces_of(spec: EnvSpec) -> Spaces:
    """Of an environment, which is built for it."""
    from rayrl.rollout.vector_env import make_vector_env

    env = make_vector_env(spec.id, spec.config, num_envs=1)
    try:
        return Spaces(env.single_observation_space, env.single_action_space)
    finally:
        env.close()
