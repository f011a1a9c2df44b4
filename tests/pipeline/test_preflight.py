"""What is refused before anything is submitted."""

import pytest

from rayrl.errors import EnvError, ResourceError
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
