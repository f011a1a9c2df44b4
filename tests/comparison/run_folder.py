"""Run folders of comparisons in an environment that tells success, with numbers that are made up."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from rayrl.evaluation.result import join_categories
from rayrl.experience.dataset import EnvInfo
from tests.evaluation.results import result_of
from tests.report.run_folder import write_experiment, write_json, write_lines

ENV = "rayrl/MineMaze-v0"
EPISODES = 20
CATEGORIES = {"simple": 0.0, "medium": 0.2, "mine_heavy": 0.35}
"""How much less often episodes succeed there."""
ARCHITECTURES = {
    "mlp_baseline": {"success": 0.55, "parameters": 134_000, "p50": 0.35, "memory": 410, "seconds": 60.0},
    "gcn": {"success": 0.86, "parameters": 212_000, "p50": 1.4, "memory": 520, "seconds": 150.0},
    "full_hgt": {"success": 0.84, "parameters": 1_240_000, "p50": 5.6, "memory": 910, "seconds": 420.0},
}
WARM = 0.08
"""By how much pretraining raises success."""


def evaluation(success: float, *, name: str, salt: int):
    """Episodes of each category, about so large a share of which succeed; most failures are deaths."""
    parts = {}
    for number, (category, harder) in enumerate({"as_trained": 0.1, **CATEGORIES}.items()):
        draw = np.random.default_rng((salt, number))
        succeeds = draw.uniform(size=EPISODES) < np.clip(success - harder, 0, 1)
        dies = ~succeeds & (draw.uniform(size=EPISODES) < 0.7)
        optimal = draw.integers(10, 30, EPISODES).astype(float)
        result = result_of(
            succeeds - 0.5 * dies,
            name=name,
            kind="policy",
            env=ENV,
            seeds=[1000 * number + episode for episode in range(EPISODES)],
            episode_success=succeeds,
            death=dies,
            timeout=~succeeds & ~dies,
            optimal_steps=optimal,
            max_steps=np.full(EPISODES, 60),
            episode_length=np.where(succeeds, optimal + draw.integers(0, 9, EPISODES), 60),
        )
        config = {"categories": {category: 1}}
        parts[category] = result.model_copy(update={"env": EnvInfo(id=ENV, config=config)})
    return join_categories(parts)


def write_trial(path: Path, architecture, condition, seed, *, success=None, costs=True, **state) -> None:
    """A trial whose success rises to about ``success``."""
    of = ARCHITECTURES[architecture]
    warm = condition == "with_pretrain"
    final = of["success"] + WARM * warm + 0.02 * (seed - 1) if success is None else success
    salt = 100 * seed + 10 * [*ARCHITECTURES].index(architecture) + warm
    folder = path / architecture / condition / f"seed_{seed}"
    steps = np.arange(0, 50_001, 5_000)
    rise = final * (1 - np.exp(-(steps + 20_000 * warm) / 15_000))
    progress = [
        {
            "step": int(step),
            "episode_return_mean": float(value),
            "success_rate": float(value),
            "seconds": {"total": of["seconds"] / 10, "sample": 1.0, "learn": 2.0},
        }
        for step, value in zip(steps[1:], rise[1:], strict=True)
    ]
    write_lines(folder / "progress.jsonl", progress)
    trial = {"state": "finished", "step": 50_000, "total_steps": 50_000, "exact": True}
    write_json(folder / "trial.json", trial | state)
    result = evaluation(final, name=architecture, salt=salt)
    result = result.model_copy(
        update={"actor": result.actor.model_copy(update={"weights_sha256": f"{salt:064x}"})}
    )
    result.save(folder / "eval_results.json")
    policy = {"weights_sha256": f"{salt:064x}"}
    if costs:
        policy |= {"parameters": of["parameters"], "flops": 2 * of["parameters"]}
        batches = [{"batch": 1, "p50_ms": of["p50"], "p99_ms": 2 * of["p50"]}]
        write_json(folder / "latency.json", {"batches": batches if seed == 0 else []})
        memory = (of["memory"] + 10 * seed) * 2**20
        write_json(
            folder / "chunks" / "chunk_1.json",
            {"chunk": 1, "end": 50_000, "step": 50_000, "memory_bytes": memory},
        )
    write_json(folder / "policy" / "policy.json", policy)


def write_run(
    path: Path, *, seeds=(0, 1, 2), architectures=tuple(ARCHITECTURES), costs=True, **changes
) -> Path:
    """A run that is complete."""
    config = write_experiment(
        path,
        name="mine-maze-compare",
        seeds=list(seeds),
        env={"id": ENV, "config": {}},
        architectures=list(architectures),
        collect={"demonstrators": {"planner": 1.0}, "steps": 8192},
        train={"algorithm": "ppo", "total_steps": 50_000},
        evaluate={"suite": "maze.json", "episodes": EPISODES},
        **changes,
    )
    for architecture in architectures:
        for seed in seeds:
            pretraining = path / architecture / "pretrain" / f"seed_{seed}"
            write_json(pretraining / "summary.json", {"best_epoch": 3, "val_accuracy": 0.9, "seconds": 20.0})
            for condition in config["conditions"]:
                write_trial(path, architecture, condition, seed, costs=costs)
    write_json(
        path / "run.json",
        {"run_id": "mine-maze-compare_20250102-030405", "created": "2025-01-02T03:04:05+00:00"},
    )
    write_json(path / "environment.json", {"hardware": {"CPUs": "2", "GPUs": "0"}})
    return path
