"""The section that says what a run rests on."""

import hashlib
import json

from rayrl.report import build_report
from rayrl.report.run_reader import read_run
from rayrl.report.sections.setup import digests_of
from tests.report.run_folder import write_json, write_run


def sha256(text):
    return hashlib.sha256(text.encode()).hexdigest()


def test_digests_are_those_of_the_content(tmp_path):
    write_run(tmp_path, seeds=[0])
    info = json.loads((tmp_path / "run.json").read_text())
    trace = {"source": "/home/me/trace.csv", "copy_": "inputs/0123/trace.csv", "sha256": 64 * "a"}
    write_json(tmp_path / "run.json", info | {"inputs": {"env.config.trace": trace}})
    run = read_run(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    warm = json.loads((tmp_path / "mlp_baseline/with_pretrain/seed_0/policy/policy.json").read_text())
    found = digests_of(run)
    assert found == {
        "configuration": sha256(json.dumps(config, sort_keys=True, separators=(",", ":"))),
        "env.config.trace: trace.csv": 64 * "a",
        "demonstrations": sha256('{"part-00000.arrow":"' + 64 * "d" + '"}'),
        "weights, mlp_baseline/no_pretrain/seed_0": f"{len('no_pretrain'):064x}",
        "weights, mlp_baseline/with_pretrain/seed_0": warm["weights_sha256"],
    }
    assert run.problems == ()
    page = build_report(tmp_path).read_text()
    whole = found["configuration"]
    assert f"<summary><code>{whole[:12]}</code></summary><code>{whole}</code>" in page


def test_results_of_other_weights_are_named(tmp_path):
    write_run(tmp_path, seeds=[0], conditions=["no_pretrain"])
    write_json(tmp_path / "mlp_baseline/no_pretrain/seed_0/policy/policy.json", {"weights_sha256": 64 * "b"})
    assert read_run(tmp_path).problems == (
        "mlp_baseline/no_pretrain/seed_0: the results are not of the weights that are there now; left out.",
    )
