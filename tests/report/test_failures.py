"""What failed stands before all that leaves it out, and episodes that raised are warned of."""

import json
import re

from rayrl.evaluation.result import load_result
from rayrl.report.build import build_report
from rayrl.report.run_reader import read_run
from rayrl.report.sections.warnings import warnings_of
from tests.report.run_folder import write_run, write_trial


def test_failures_come_first_with_their_peaks_and_errors(tmp_path):
    write_run(tmp_path)
    write_trial(tmp_path, "with_pretrain", 1, state="failed", step=4096, evaluated=False, error="no room")
    failure = {
        "name": "mlp_baseline-with_pretrain-seed_1",
        "kind": "out_of_memory",
        "error": "no room; lower train.envs_per_runner",
        "chunk": 1,
        "resources": {"peak_memory_bytes": 3 * 2**29, "peak_gpu_memory_bytes": None},
        "when": "2026-11-30T00:00:00+00:00",
    }
    folder = tmp_path / "mlp_baseline" / "with_pretrain" / "seed_1"
    (folder / "failure.json").write_text(json.dumps(failure))
    page = build_report(tmp_path).read_text()
    text = " ".join(re.sub(r"<[^>]+>", " ", page[page.index('id="failures"') :]).split())
    assert "1 part of this run failed" in text
    assert " 1 out of memory 1.50 GiB – no room" in text
    assert "no room; lower train.envs_per_runner" in text
    assert page.index('id="failures"') < page.index('id="verdict"')


def test_a_run_without_failures_has_no_such_section(tmp_path):
    assert 'id="failures"' not in build_report(write_run(tmp_path)).read_text()


def test_episodes_that_raised_are_named_by_level_or_seed(tmp_path):
    write_run(tmp_path)
    file = tmp_path / "mlp_baseline" / "no_pretrain" / "seed_0" / "eval_results.json"
    result = load_result(file)
    others = (None,) * (result.episodes - 2)
    errors = ("OSError: the floor gives way", "KeyError: 3", *others)
    result = result.model_copy(update={"errors": errors, "levels": ("maze_007", None, *others)})
    result.save(file)
    assert warnings_of(read_run(tmp_path)) == [
        "mlp_baseline/no_pretrain/seed_0: raised in its evaluation, in level maze_007 and the episode of "
        f"seed {result.seeds[1]}, first OSError: the floor gives way."
    ]
