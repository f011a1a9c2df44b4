"""Writes run folders as the stages of a pipeline do, with numbers that are made up."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from tests.evaluation.results import result_of

EPISODES = 40
ENV = "rayrl/Router-v0"
_LEVELS = np.random.default_rng(0).normal(0, 12, EPISODES)


def write_json(path: Path, value) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def write_lines(path: Path, rows) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def evaluation(mean, *, name, kind="policy", salt=0, episodes=EPISODES, seed=None):
    """A result with a mean return of about ``mean``; its episodes are as hard as everybody's."""
    draw = np.random.default_rng(salt)
    returns = mean + _LEVELS[:episodes] + draw.normal(0, 3, episodes)
    latency = 15 - returns / 100 + draw.normal(0, 0.3, episodes)
    result = result_of(
        returns,
        name=name,
        kind=kind,
        env=ENV,
        throughput=11.5 + draw.normal(0, 0.1, episodes),
        goodput=11 + returns / 500,
        latency_p50=latency / 4,
        latency_p90=latency / 2,
        latency_p99=latency,
        ttft_p50=latency / 100,
        ttft_p99=latency / 15,
        balance=np.clip(0.95 + returns / 10_000, 0, 1),
    )
    provenance = {} if seed is None else {"seed": seed}
    digest = f"{salt:064x}" if kind == "policy" else None
    actor = result.actor.model_copy(update={"provenance": provenance, "weights_sha256": digest})
    return result.model_copy(update={"actor": actor})


def write_experiment(path: Path, **changes) -> dict:
    """``config.json``; returns it."""
    config = {
        "name": "router-warm-start",
        "seeds": [0, 1, 2],
        "env": {"id": ENV, "config": {"replicas": 4, "arrivals": "poisson", "target_load": 0.85}},
        "architectures": ["mlp_baseline"],
        "conditions": ["no_pretrain", "with_pretrain"],
        "collect": {"demonstrators": {"least_outstanding": 1.0, "join_shortest_work": 1.0}, "steps": 8192},
        "pretrain": {"method": "bc", "epochs": 10},
        "train": {"algorithm": "ppo", "total_steps": 100_000, "options": {"lr": 3e-4}},
        "evaluate": {"episodes": EPISODES},
        "report": {},
    } | changes
    write_json(path / "config.json", config)
    return config


def write_trial(
    path: Path, condition, seed, *, architecture="mlp_baseline", final=None, evaluated=True, **state
):
    """A trial whose training return rises from −900 (cold) or −90 (warm) to ``final``."""
    folder = path / architecture / condition / f"seed_{seed}"
    draw = np.random.default_rng(100 * seed + len(condition))
    warm = condition == "with_pretrain"
    final = final if final is not None else (-19.0 if warm else -30.0) + seed
    steps = state.get("step", 100_352)
    rows = []
    for step in range(2048, steps + 1, 2048):
        rise = np.exp(-step / (60_000 if warm else 18_000))
        value = final + ((-70) if warm else -900) * rise + draw.normal(0, 4 + 40 * rise)
        rows.append(
            {
                "step": step,
                "iteration": step // 2048,
                "episode_return_mean": None if step == 2048 else value,
                "episode_len_mean": 512.0,
                "learner": {"policy_loss": 0.1},
                "actions": {"0": 0.5 - 0.2 * rise, "1": 0.5 + 0.2 * rise},
                "seconds": {"sample": 0.9, "learn": 1.2, "total": 2.2},
            }
        )
    write_lines(folder / "progress.jsonl", rows)
    trial = {"architecture": architecture, "condition": condition, "seed": seed, "state": "finished"}
    trial |= {"step": steps, "total_steps": 100_000, "resumed_from": [], "exact": True, "error": None}
    write_json(folder / "trial.json", trial | state)
    if evaluated:
        salt = 10 * seed + len(condition)
        result = evaluation(final, name=architecture, salt=salt, seed=seed)
        result.save(folder / "eval_results.json")
        write_json(folder / "policy" / "policy.json", {"weights_sha256": result.actor.weights_sha256})


def write_pretraining(path: Path, seed, *, architecture="mlp_baseline", score=-95.0):
    """A cloned policy that agrees with 87 % of the decisions."""
    folder = path / architecture / "pretrain" / f"seed_{seed}"
    rows = [
        {
            "epoch": epoch,
            "train_loss": 0.3 + 1.1 * 0.7**epoch,
            "val_loss": 0.36 + 1.0 * 0.7**epoch + 0.01 * seed,
            "train_accuracy": 0.9 - 0.6 * 0.7**epoch,
            "val_accuracy": 0.87 - 0.6 * 0.7**epoch - 0.005 * seed,
        }
        for epoch in range(1, 11)
    ]
    write_lines(folder / "curve.jsonl", rows)
    summary = {
        "best_epoch": 10, "val_accuracy": rows[-1]["val_accuracy"], "val_loss": rows[-1]["val_loss"],
        "ceiling_accuracy": 0.89, "rows": 8192, "seconds": 11.5 + seed,
    }  # fmt: skip
    write_json(folder / "summary.json", summary)
    evaluation(score - seed, name=architecture, salt=50 + seed, seed=seed).save(folder / "eval_results.json")


def write_demonstrators(path: Path, **means):
    """Results of demonstrators with the given mean returns."""
    means = means or {
        "random": -1380.0, "round_robin": -850.0, "join_shortest_work": -590.0, "least_outstanding": -24.0,
    }  # fmt: skip
    for salt, (name, mean) in enumerate(means.items(), start=80):
        result = evaluation(mean, name=name, kind="demonstrator", salt=salt)
        file = path / "evaluate" / "demonstrators" / f"{name}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        result.save(file)


def write_run(path: Path, **changes) -> Path:
    """A run that is complete."""
    config = write_experiment(path, **changes)
    for architecture in config["architectures"]:
        for seed in config["seeds"]:
            if "with_pretrain" in config["conditions"]:
                write_pretraining(path, seed, architecture=architecture)
            for condition in config["conditions"]:
                write_trial(path, condition, seed, architecture=architecture)
    write_demonstrators(path)
    write_json(
        path / "run.json",
        {
            "run_id": "router-warm-start_20250102-030405",
            "created": "2025-01-02T03:04:05+00:00",
            "finished": "2025-01-02T03:10:05+00:00",
            "versions": {"python": "3.11.9", "rayrl": "0.1.0"},
        },
    )
    write_json(
        path / "environment.json",
        {
            "versions": {"python": "3.11.9", "rayrl": "0.1.0", "ray": "2.60.0", "torch": "2.13.0"},
            "hardware": {"cpu": "Some CPU @ 2.4 GHz", "cpus": 2, "memory": "23 GiB", "gpus": []},
        },
    )
    write_json(
        path / "collect" / "manifest.json",
        {
            "format_version": "1.0",
            "files": [{"name": "part-00000.arrow", "steps": 8192, "sha256": 64 * "d"}],
            "extra": {
                "demonstrators": {
                    "least_outstanding": {"steps": 4096, "episodes": 8, "return_mean": -26.1},
                    "join_shortest_work": {"steps": 4096, "episodes": 8, "return_mean": -601.3},
                }
            },
        },
    )
    return path
