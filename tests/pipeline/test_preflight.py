"""What is refused before anything is submitted."""

import gymnasium
import pytest

from rayrl.errors import ConfigError, EnvError, ResourceError, SpaceError
from rayrl.pipeline import preflight
from rayrl.pipeline.experiment import load_experiment


def test_this_machine_must_hold_a_trial(file, monkeypatch):
    monkeypatch.setattr(preflight, "this_machine", lambda: {"CPU": 2.0, "GPU": 0.0})
    preflight.check_machine(load_experiment(file, ["train.env_runners=1"]))
    with pytest.raises(ResourceError, match="this machine: a trial cannot be placed: missing 2 CPUs"):
        preflight.check_machine(load_experiment(file, ["train.env_runners=3"]))


@pytest.mark.parametrize(
    ("override", "message"),
    [("env.id=NoSuch-v0", "is not a registered environment"), ("env.id=nowhere:Env", "cannot be imported")],
)
def test_the_environment_is_built_once(file, override, message):
    preflight.check_environment(load_experiment(file))
    with pytest.raises(EnvError, match=message):
        preflight.check_environment(load_experiment(file, [override]))


class TwoViews(gymnasium.Env):
    """Observes what no network reads."""

    observation_space = gymnasium.spaces.Tuple([gymnasium.spaces.Discrete(2)] * 2)
    action_space = gymnasium.spaces.Discrete(2)


@pytest.mark.filterwarnings("ignore:.*observation space:UserWarning")
def test_spaces_that_no_network_reads_are_refused_before_anything_starts(file):
    gymnasium.register("TwoViews-v0", TwoViews, disable_env_checker=True)
    try:
        with pytest.raises(SpaceError, match="no network here reads Tuple"):
            preflight.check_environment(load_experiment(file, ["env.id=TwoViews-v0"]))
    finally:
        del gymnasium.registry["TwoViews-v0"]
    spaces = preflight.check_environment(load_experiment(file))
    assert spaces.observation.shape == (4,)


def test_options_of_the_networks_are_checked_against_the_spaces(file):
    options = ["train.options={model_config: {free_log_std: true}}"]
    with pytest.raises(ConfigError, match="free_log_std = true needs Box actions"):
        preflight.check_environment(load_experiment(file, options))
