import base64
import hashlib
import html
import json
import re
from importlib import resources

import pytest

import rayrl.comparison.sections  # noqa: F401  (registers them, as rayrl report does)
from rayrl.errors import ConfigError, RunError
from rayrl.report import build_report
from rayrl.report.figures.style import COLORS
from rayrl.report.run_reader import read_run
from rayrl.report.sections import registry
from rayrl.report.sections.registry import Section, register_section, sections_for
from tests.evaluation.results import result_of
from tests.report.run_folder import write_experiment, write_json, write_run

FIGURES = [
    "actions_cold", "actions_warm", "aggregate_scores", "cloning_accuracy", "cloning_loss", "differences",
    "distribution_latency", "learning_curves", "performance_profiles", "pretraining_effect",
    "probability_of_improvement", "quality_against_cost", "returns", "steps_to_target", "time",
]  # fmt: skip
FILES = ["episodes.csv", "comparison.json", "decision.csv", "report.html", "trials.csv"]


def figures_in(page):
    texts = re.findall(r'<script type="application/json" data-figure="figure-(\w+)">(.*?)</script>', page)
    return {name: json.loads(text) for name, text in texts}


@pytest.fixture(scope="module")
def complete(tmp_path_factory):
    folder = write_run(tmp_path_factory.mktemp("run"))
    return folder, build_report(folder)


def test_a_report_is_a_page_and_its_figures_twice(complete):
    folder, page = complete
    assert page == folder / "report" / "report.html"
    files = sorted(path.relative_to(page.parent).as_posix() for path in page.parent.rglob("*.*"))
    assert files == sorted(
        [*FILES, *(f"figures/{name}.{kind}" for name in FIGURES for kind in ("png", "csv"))]
    )
    assert sorted(figures_in(page.read_text())) == FIGURES
    assert all((page.parent / f"figures/{name}.png").read_bytes().startswith(b"\x89PNG") for name in FIGURES)


def test_the_page_has_every_section(complete):
    text = complete[1].read_text()
    assert re.findall(r"<h2>(.*?)</h2>", text) == [
        "Which to take", "What came out", "Learning curves", "Scores over training seeds",
        "Probability of improvement", "Steps to target", "What pretraining does", "Results", "Demonstrations",
        "Behaviour cloning", "Actions", "Trials", "Where the time went",
        "Configuration, versions, hardware, digests",
    ]  # fmt: skip
    for shown in (
        "rayrl/Router-v0", "Some CPU @ 2.4 GHz", "2.13.0", "train.options.lr", "PPO, 100,000 steps each",
        "1 architecture × 2 conditions × 3 seeds = 6", "2025-01-02 03:04 UTC",
    ):  # fmt: skip
        assert shown in text


def test_learning_curves_show_every_seed_and_the_means(complete):
    lines = figures_in(complete[1].read_text())["learning_curves"]["data"]
    assert [(line["name"], line["showlegend"]) for line in lines] == [
        *((f"{name}, seed {seed}", False) for name in ("cold", "warm") for seed in range(3)),
        ("cold (3 seeds)", True),
        ("warm (3 seeds)", True),
    ]
    # The first mean of returns is not known, and so not drawn.
    assert lines[0]["x"][:2] == [4096, 6144]


def test_cloning_curves_show_both_splits_and_the_ceiling(complete):
    figure = figures_in(complete[1].read_text())["cloning_accuracy"]
    assert [line["name"] for line in figure["data"][-2:]] == ["training split", "held-out split"]
    assert figure["layout"]["shapes"][0]["y0"] == 0.89


def test_the_page_allows_no_request_and_no_script_but_its_own(complete):
    text = complete[1].read_text()
    policy = html.unescape(re.search(r'http-equiv="Content-Security-Policy" content="([^"]+)"', text)[1])
    scripts = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    digests = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    assert len(digests) == 2
    assert policy == (
        f"default-src 'none'; script-src 'sha256-{digests[0]}' 'sha256-{digests[1]}'; "
        "style-src 'unsafe-inline'; img-src data: blob:"
    )
    markup = re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL)
    assert set(re.findall(r'(?:src|href)="(.)', markup)) == {"#", "f"}
    assert "url(" not in markup


def test_the_pages_light_colours_are_those_of_the_figures():
    css = resources.files("rayrl.report").joinpath("static", "report.css").read_text()
    light, dark = css.split("@media screen", 1)
    assert re.findall(r"--series-\d: (#\w+);", light) == list(COLORS)
    assert len(re.findall(r"--series-\d: (#\w+);", dark)) == len(COLORS)


def test_what_users_name_is_escaped(tmp_path):
    nasty = '<img src=x onerror="alert(1)">'
    write_run(tmp_path, name=nasty, env={"id": nasty, "config": {nasty: nasty}})
    result_of([0.0] * 40, name=nasty, env="rayrl/Router-v0").save(
        tmp_path / "evaluate" / "demonstrators" / "<b>bold<|b>.json"
    )
    text = build_report(tmp_path).read_text()
    scripts = re.compile(r"<script>.*?</script>", re.DOTALL)
    page = scripts.sub("", text)
    assert "<img" not in page
    assert "<b>" not in page
    assert html.escape(nasty) in page
    assert json.dumps("&lt;b&gt;bold&lt;|b&gt;") in page


@pytest.mark.parametrize("conditions", [["no_pretrain"], ["with_pretrain"]])
def test_a_run_of_one_condition(tmp_path, conditions):
    write_run(tmp_path, conditions=conditions, seeds=[0])
    text = build_report(tmp_path).read_text()
    assert ("cloning_loss" in figures_in(text)) == (conditions == ["with_pretrain"])


def test_a_run_of_several_architectures_has_its_cloning_figures_apart(tmp_path):
    write_run(tmp_path, architectures=["mlp_small", "mlp_large"], seeds=[0])
    names = figures_in(build_report(tmp_path).read_text())
    assert {"cloning_loss_mlp_small", "cloning_loss_mlp_large"} <= set(names)


def test_a_run_that_has_only_begun(tmp_path):
    write_experiment(tmp_path)
    text = build_report(tmp_path).read_text()
    assert figures_in(text) == {}
    assert "<script" not in text
    assert "Nothing to compare yet." in text or "cannot be told yet" in text
    assert "mlp_baseline/no_pretrain/seed_0: never started." in text


def test_training_without_finished_episodes(tmp_path):
    write_run(tmp_path, seeds=[0], conditions=["no_pretrain"])
    file = tmp_path / "mlp_baseline" / "no_pretrain" / "seed_0" / "progress.jsonl"
    rows = [json.loads(line) | {"episode_return_mean": None} for line in file.read_text().splitlines()]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    text = build_report(tmp_path).read_text()
    assert "learning_curves" not in figures_in(text)
    assert "No episode was finished in training" in text


def test_success_is_drawn_where_it_is_known(tmp_path):
    write_run(tmp_path, seeds=[0], conditions=["no_pretrain"])
    file = tmp_path / "mlp_baseline" / "no_pretrain" / "seed_0" / "progress.jsonl"
    rows = [json.loads(line) | {"success_rate": 0.5} for line in file.read_text().splitlines()]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    figure = figures_in(build_report(tmp_path).read_text())["success_curves"]
    assert set(figure["data"][0]["y"]) == {0.5}


def test_building_again_replaces_the_report(complete):
    folder, page = complete
    (page.parent / "stale.txt").write_text("old")
    before = page.read_bytes()
    assert build_report(folder).read_bytes() == before
    assert not (page.parent / "stale.txt").exists()


def test_no_run_no_report(tmp_path):
    with pytest.raises(RunError, match="there is no run in this folder\n  name a run folder"):
        build_report(tmp_path)
    assert not (tmp_path / "report").exists()


def test_a_capability_adds_a_section(tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "_sections", dict(registry._sections))
    section = Section(
        "extra", "Something else", 35, lambda run: run.experiment.name == "mine", lambda run: []
    )
    register_section(section)
    register_section(section)
    write_experiment(tmp_path, name="mine")
    keys = [section.key for section in sections_for(read_run(tmp_path))]
    assert keys == ["verdict", "extra", "trials", "setup", "warnings"]
    write_experiment(tmp_path)
    assert "extra" not in [section.key for section in sections_for(read_run(tmp_path))]
    with pytest.raises(ConfigError, match="'extra'"):
        register_section(Section("extra", "Another", 1, lambda run: True, lambda run: []))


def test_the_time_of_a_trial_by_hand(tmp_path):
    write_experiment(tmp_path, seeds=[0], conditions=["no_pretrain"])
    folder = tmp_path / "mlp_baseline" / "no_pretrain" / "seed_0"
    seconds = [
        {"sample": 1.0, "rollout_wait": 0.25, "learn": 2.0, "learner_wait": 0.5, "total": 4.0},
        # As runs recorded it before waits were told apart.
        {"sample": 2.0, "learn": 3.0, "total": 6.0},
    ]
    rows = [{"step": 1000 * (i + 1), "seconds": each} for i, each in enumerate(seconds)]
    folder.mkdir(parents=True)
    (folder / "progress.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    write_json(folder / "trial.json", {"state": "finished", "step": 2000, "total_steps": 2000})
    text = build_report(tmp_path).read_text()
    parts = [(bar["name"], bar["x"]) for bar in figures_in(text)["time"]["data"]]
    assert parts == [
        ("sampling", [3.0]), ("rollout wait", [0.25]), ("learning", [5.0]), ("learner wait", [0.5]),
        ("other", [1.25]),
    ]  # fmt: skip
    cells = re.findall(r'<td class="number">(.*?)</td>', text)
    assert cells[:7] == ["10 s", "30 %", "2 %", "50 %", "5 %", "12 %", "200"]
