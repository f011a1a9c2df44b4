"""An experiment that is run again, in another run folder, ends in the same weights to the last bit."""

import pytest

import rayrl
from rayrl.storage.hashing import sha256_path

EXPERIMENT = """
name: repeats
seeds: [0]
env: {id: CartPole-v1}
conditions: [with_pretrain]
collect: {demonstrators: {random: 1}, steps: 512}
pretrain: {epochs: 1}
train:
  total_steps: 512
  envs_per_runner: 4
  options: {train_batch_size_per_learner: 512, num_epochs: 1}
evaluate: {episodes: 2}
"""


@pytest.mark.slow
def test_the_same_experiment_ends_in_the_same_weights(tmp_path):
    file = tmp_path / "repeats.yaml"
    file.write_text(EXPERIMENT)
    digests = []
    for name in ("first", "second"):
        rayrl.run(file, run_dir=tmp_path / name, local=True)
        weights = [
            tmp_path / name / "mlp_baseline" / part / "seed_0" / "policy" / "weights.safetensors"
            for part in ("pretrain", "with_pretrain")
        ]
        digests.append([sha256_path(path) for path in weights])
    assert digests[0] == digests[1]
