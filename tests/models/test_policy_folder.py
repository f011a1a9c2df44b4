import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from gymnasium import spaces

from rayrl.errors import IntegrityError, PolicyError, StorageError
from rayrl.models.actor_critic_network import ActorCriticNetwork
from rayrl.models.model_config import ModelConfig
from rayrl.models.policy_folder import DESCRIPTION_FILE, WEIGHTS_FILE, load_policy, save_policy

OBSERVATIONS = spaces.Dict(x=spaces.Box(-1, 1, (3,)), camera=spaces.Box(0, 255, (8, 8, 3), np.uint8))
OPTIONS = {
    "fcnet_hiddens": (16, 8),
    "normalize_observations": True,
    "conv_filters": [[4, 3, 2]],
    "log_std_clip_param": float("inf"),
}


def trained(inference_only=False, **options):
    network = ActorCriticNetwork(
        OBSERVATIONS,
        spaces.Box(-2, 2, (2,)),
        ModelConfig(**{**OPTIONS, **options}),
        inference_only=inference_only,
    )
    if network.normalizer.enabled:
        rows = torch.rand(100, 3, dtype=torch.float64)
        network.normalizer.update_from_moments(network.normalizer.moments({"obs/x": rows}))
    return network


def save(path, network=None):
    provenance = {"run": "r", "step": 100}
    return save_policy(path, network or trained(), architecture="mlp_baseline", provenance=provenance)


@pytest.mark.parametrize("inference_only", [False, True])
@pytest.mark.parametrize("options", [{}, {"normalize_observations": False}, {"vf_share_layers": True}])
def test_what_is_saved_comes_back_bit_for_bit(tmp_path, inference_only, options):
    network = trained(inference_only, **options)
    save(tmp_path / "policy", network)
    policy = load_policy(tmp_path / "policy")
    before, after = network.state_dict(), policy.network.state_dict()
    assert list(after) == list(before)
    for name, tensor in before.items():
        assert after[name].dtype == tensor.dtype
        assert torch.equal(after[name], tensor)
    assert policy.network.config == network.config
    assert policy.spaces == (network.observation_space, network.action_space)
    assert policy.architecture == "mlp_baseline"
    assert policy.provenance == {"run": "r", "step": 100}
    assert policy.report.loaded == tuple(before)
    assert policy.report.complete
    parts = {"obs/x": torch.rand(4, 3), "obs/camera": torch.randint(0, 256, (4, 8, 8, 3), dtype=torch.uint8)}
    assert torch.equal(policy.network.policy(parts), network.policy(parts))


def test_the_folder_holds_two_files_and_the_description_says_what_they_are(tmp_path):
    save(tmp_path / "policy")
    assert sorted(file.name for file in (tmp_path / "policy").iterdir()) == [DESCRIPTION_FILE, WEIGHTS_FILE]
    description = json.loads((tmp_path / "policy" / DESCRIPTION_FILE).read_text())
    assert description["format_version"] == "1.0"
    assert description["distribution"] == "DiagGaussian"
    assert description["normalizer"] is True
    assert description["options"]["fcnet_hiddens"] == [16, 8]
    assert description["action_space"]["type"] == "Box"
    assert set(description["versions"]) >= {"rayrl", "torch", "python"}


def test_the_same_policy_has_the_same_weights_file(tmp_path):
    network = trained()
    assert save(tmp_path / "a", network).weights_sha256 == save(tmp_path / "b", network).weights_sha256
    assert (tmp_path / "a" / WEIGHTS_FILE).read_bytes() == (tmp_path / "b" / WEIGHTS_FILE).read_bytes()


def test_saving_replaces_a_policy_and_leaves_nothing_beside_it(tmp_path):
    save(tmp_path / "policy")
    last = trained()
    save(tmp_path / "policy", last)
    policy = load_policy(tmp_path / "policy")
    assert torch.equal(policy.network.policy_head.linears[0].weight, last.policy_head.linears[0].weight)
    assert [entry.name for entry in tmp_path.iterdir()] == ["policy"]


def test_a_failed_save_keeps_the_policy_that_stood_there(tmp_path):
    first = save(tmp_path / "policy")
    with pytest.raises(ValueError, match="not JSON compliant"):
        save_policy(
            tmp_path / "policy", trained(), architecture="mlp_baseline", provenance={"loss": float("nan")}
        )
    assert load_policy(tmp_path / "policy").provenance == first.provenance
    assert [entry.name for entry in tmp_path.iterdir()] == ["policy"]


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="the policy folder"):
        save(tmp_path / "file" / "policy")


def test_loading_moves_no_random_numbers(tmp_path):
    save(tmp_path / "policy")
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    load_policy(tmp_path / "policy")
    assert torch.equal(torch.rand(3), expected)


def edit(change):
    def spoil(folder):
        path = folder / DESCRIPTION_FILE
        description = json.loads(path.read_text())
        change(description)
        path.write_text(json.dumps(description))

    return spoil


def flip_a_byte(folder):
    path = folder / WEIGHTS_FILE
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("spoil", "error", "message"),
    [
        (
            lambda folder: (folder / DESCRIPTION_FILE).unlink(),
            IntegrityError,
            "policy description is missing",
        ),
        (lambda folder: (folder / WEIGHTS_FILE).unlink(), IntegrityError, "the weights cannot be read"),
        (lambda folder: (folder / DESCRIPTION_FILE).write_text("{"), IntegrityError, "not valid JSON"),
        (flip_a_byte, IntegrityError, "the weights are altered"),
        (edit(lambda d: d.update(format_version="9.0")), IntegrityError, "format version '9.0' is not known"),
        (edit(lambda d: d.pop("distribution")), IntegrityError, "distribution: required"),
        (edit(lambda d: d["options"].update(depth=3)), IntegrityError, "depth: unknown key"),
        (edit(lambda d: d["action_space"].update(type="Graph")), IntegrityError, "is no known space"),
        (edit(lambda d: d["options"].update(fcnet_hiddens=[16, 9])), PolicyError, "mismatched: "),
        (edit(lambda d: d["options"].update(normalize_observations=False)), PolicyError, "unexpected: "),
        (edit(lambda d: d["options"].update(head_fcnet_hiddens=[8])), PolicyError, "missing: "),
    ],
)
def test_damaged_folders_are_named(tmp_path, spoil, error, message):
    folder = tmp_path / "policy"
    save(folder)
    spoil(folder)
    with pytest.raises(error) as caught:
        load_policy(folder)
    assert message in str(caught.value)
    assert str(folder) in str(caught.value)


def test_loading_and_acting_import_no_ray(tmp_path):
    save(tmp_path / "policy")
    script = (
        "import sys, numpy as np\n"
        "from rayrl.models.policy_folder import load_policy\n"
        "policy = load_policy(sys.argv[1])\n"
        "action = policy.act({'x': np.zeros(3), 'camera': np.zeros((8, 8, 3), np.uint8)})\n"
        "assert policy.spaces[1].contains(action)\n"
        "assert not any(name.split('.')[0] == 'ray' for name in sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path / "policy")], check=True, timeout=120)
