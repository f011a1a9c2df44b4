import csv
import html
import json
import re

import pytest

import rayrl.comparison.sections  # noqa: F401  (registers them)
from rayrl.comparison.record import FILE, Comparison
from rayrl.report import build_report
from rayrl.report.run_reader import read_run
from rayrl.report.sections.registry import sections_for
from tests.comparison.run_folder import ARCHITECTURES, write_run, write_trial
from tests.report.run_folder import write_json

FIGURES = (
    "quality_against_cost", "aggregate_scores", "category_scores", "performance_profiles",
    "probability_of_improvement", "pretraining_effect",
)  # fmt: skip


def sections_in(page):
    """The sections' words, by key."""
    found = re.findall(r'<section id="(\w+)">(.*?)</section>', page.read_text(), re.DOTALL)
    found = [(key, text.replace("<wbr>", "")) for key, text in found]
    plain = {key: re.sub(r"<script.*?</script>", " ", text, flags=re.DOTALL) for key, text in found}
    return {
        key: html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", text))) for key, text in plain.items()
    }


def lines(page, name):
    return (page.parent / name).read_text().splitlines()


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    return build_report(write_run(tmp_path_factory.mktemp("run")))


@pytest.fixture(scope="module")
def sections(page):
    return sections_in(page)


def test_the_recommendation_stands_on_top_with_its_reasons(sections):
    assert [*sections][:2] == ["decision", "verdict"]
    text = sections["decision"]
    assert text.split()[3:6] == ["Take", "gcn", "warm:"]
    assert re.search(r"success 0\.\d+ \(0\.\d+ to 0\.\d+ over 3 training seeds\)", text)
    assert re.search(
        r"below full_hgt warm, the best of the others \(probability of improvement 0\.\d+\)", text
    )
    assert "at 0.25 times its latency" in text
    assert re.search(r"comes first in \d+\.\d % of resamples of the training seeds; next is", text)
    assert "By success alone it cannot be told from" in text
    assert "3 training seeds cannot exclude chance; that takes 5 or more of each." in text
    assert "Before you rely on this" in text


def test_the_matrix_has_every_criterion_with_its_weight(sections):
    text = sections["decision"]
    for column in ("success weight 4", "latency (ms) weight 1", "memory (MiB) weight 0.5"):
        assert column in text
    assert "unknown" not in text


def test_what_is_not_recorded_is_said_to_be_unknown(tmp_path):
    run = write_run(tmp_path, architectures=["gcn", "full_hgt"], costs=False)
    text = sections_in(build_report(run))["decision"]
    assert "latency (ms) unknown" in text
    assert "Not known of all, and so not weighed: parameters, latency and memory." in text
    # Quality is then shown against the next cost that is known.
    assert "Success against wall time" in text


def test_every_figure_is_there_as_png_and_csv(page):
    for name in FIGURES:
        assert (page.parent / f"figures/{name}.png").read_bytes().startswith(b"\x89PNG"), name
        assert (page.parent / f"figures/{name}.csv").read_text().count("\n") > 2, name


def test_the_heat_map_by_category(page):
    rows = list(csv.reader(lines(page, "figures/category_scores.csv")))
    assert rows[0] == ["", "simple", "medium", "mine heavy"]
    found = Comparison.parse(json.loads((page.parent / FILE).read_text()), where=FILE)
    for label, *values in rows[1:]:
        scores = found.candidate(label).scores
        assert [float(value) for value in values] == pytest.approx(
            [sum(each) / len(each) for each in scores.values()]
        )


def test_the_front_is_marked(page):
    rows = list(csv.DictReader(lines(page, "figures/quality_against_cost.csv")))
    front = {row["label"] for row in rows if row["on_line"] == "1"}
    assert "full_hgt, warm" in front
    assert "mlp_baseline, cold" not in front
    assert len(rows) == 6


def test_the_decision_as_csv(page):
    rows = list(csv.DictReader(lines(page, "decision.csv")))
    assert [row["rank"] for row in rows] == ["1", "2", "3", "4", "5", "6"]
    assert float(rows[0]["latency"]) == ARCHITECTURES["gcn"]["p50"]


def test_pretraining_and_improvement(sections):
    for name in ARCHITECTURES:
        assert name in sections["pretraining"]
    assert "gcn warm against the others" in sections["improvement"]
    text = sections["improvement"]
    assert "so that nobody is called better beyond it" in text
    # The last two columns, the adjusted p-value and who is better, stay empty.
    assert re.search(r"full_hgt, cold full_hgt, warm 0\.\d+ \S+ to \S+ −0\.\d+ \S+ to \S+ – – $", text)


def test_five_seeds_are_tested_over_all_pairs(tmp_path):
    run = write_run(tmp_path, seeds=range(5), architectures=["gcn", "mlp_baseline"])
    text = sections_in(build_report(run))["improvement"]
    assert "at a level of 5.0 %, with p-values that Holm's procedure adjusts for 6 pairs." in text
    row = r"gcn, warm mlp_baseline, cold 0\.97 \S+ to \S+ \+0\.337 0\.241 to 0\.432 < 0\.001 gcn, warm"
    assert re.search(row, text)


def test_one_candidate_of_too_few_seeds_is_named_and_the_others_keep_their_sections(tmp_path):
    run = write_run(tmp_path, architectures=["gcn", "full_hgt"])
    (tmp_path / "gcn/no_pretrain/seed_1/eval_results.json").unlink()
    page = build_report(run)
    sections = sections_in(page)
    assert "Too few training seeds for intervals: gcn cold." in sections["scores"]
    assert "gcn cold: 2 training seeds with results" in sections["decision"]
    assert (
        "of the training seeds of gcn warm, full_hgt warm and full_hgt cold in which" in sections["decision"]
    )
    assert {"improvement", "pretraining"} <= sections.keys()
    labels = {row[0] for row in csv.reader(lines(page, "figures/performance_profiles.csv")[1:])}
    assert labels == {f"{name} (3 seeds)" for name in ("gcn, warm", "full_hgt, cold", "full_hgt, warm")}


def test_two_seeds_are_refused_in_words_and_nothing_breaks(tmp_path):
    run = write_run(tmp_path, seeds=(0, 1), architectures=["gcn", "full_hgt"])
    page = build_report(run)
    sections = sections_in(page)
    assert "How sure that is cannot be said: 2 training seeds" in sections["decision"]
    assert (
        "gcn cold, gcn warm, full_hgt cold and full_hgt warm: 2 training seeds with results"
        in sections["decision"]
    )
    assert (
        "Too few training seeds for intervals: gcn cold, gcn warm, full_hgt cold and full_hgt warm."
        in sections["scores"]
    )
    assert "first in" not in sections["decision"]
    assert not {"improvement", "pretraining"} & sections.keys()
    assert "performance_profiles" not in page.read_text()


def test_the_trial_table_says_why_a_trial_failed(tmp_path):
    write_run(tmp_path, seeds=range(4), architectures=["gcn"])
    write_trial(tmp_path, "gcn", "no_pretrain", 3, state="failed", step=20_000)
    folder = tmp_path / "gcn/no_pretrain/seed_3"
    (folder / "eval_results.json").unlink()
    failure = {"name": "gcn-no_pretrain-seed_3", "kind": "out_of_memory", "error": "it took 9 GiB; lower it"}
    failure["resources"] = {"peak_memory_bytes": 9 * 2**30}
    took = {"gpu_hours": 0.5, "peak_memory_bytes": 2**29, "peak_gpu_memory_bytes": 3 * 2**30}
    write_json(tmp_path / "gcn/no_pretrain/seed_0/manifest.json", {"extra": took})
    write_json(folder / "failure.json", failure)
    page = build_report(tmp_path)
    text = sections_in(page)["trials"]
    assert (
        "gcn no_pretrain failed out of memory: it took 9 GiB; lower it 3 20,000 2 min 30 s – 9.00 GiB –"
        in text
    )
    assert "0.50 GiB 3.00 GiB" in text
    assert (
        "cold: without results that can be compared, and so left out: seed 3."
        in sections_in(page)["decision"]
    )
    rows = list(csv.DictReader(lines(page, "trials.csv")))
    assert len(rows) == 8
    assert [row["why"] for row in rows if row["why"]] == ["out of memory: it took 9 GiB; lower it"]
    costs = ("gpu_hours", "peak_memory_bytes", "peak_gpu_memory_bytes")
    assert [rows[0][name] for name in costs] == ["0.5", str(2**29), str(3 * 2**30)]
    assert [rows[3][name] for name in costs] == ["", str(9 * 2**30), ""]


def test_one_condition_of_one_architecture_has_none_of_these(tmp_path):
    write_run(tmp_path, architectures=["gcn"], conditions=["no_pretrain"])
    keys = {section.key for section in sections_for(read_run(tmp_path))}
    assert not keys & {"decision", "scores", "improvement", "pretraining", "trials"}
    assert not (build_report(tmp_path).parent / FILE).exists()


def test_a_report_with_its_files_may_be_written_anew_elsewhere(tmp_path):
    run = write_run(tmp_path / "run", architectures=["gcn"])
    out = tmp_path / "out"
    build_report(run, out)
    assert {FILE, "decision.csv", "trials.csv"} <= {file.name for file in out.iterdir()}
    assert build_report(run, out).exists()
