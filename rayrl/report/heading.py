"""What stands at the top and the bottom of a page."""

from __future__ import annotations

from rayrl.report.page import Heading
from rayrl.report.run_data import RunData
from rayrl.report.several_runs import SeveralRuns
from rayrl.report.text import count
from rayrl.storage.versions import versions


def heading_of(run: RunData) -> Heading:
    """Of a run's report."""
    experiment, info = run.experiment, run.info
    return Heading(
        title=experiment.name,
        facts={
            "Environment": experiment.env.id,
            "Trials": (
                f"{count(len(experiment.architectures), 'architecture')} × "
                f"{count(len(experiment.conditions), 'condition')} × {count(len(experiment.seeds), 'seed')}"
                f" = {len(run.trials)}"
            ),
            "Training": f"{experiment.train.algorithm.upper()}, {experiment.train.total_steps:,} steps each",
            "Run": info.run_id,
            "Started": _moment(info.created),
            "Finished": _moment(info.finished or ""),
        },
        source=f"Written by rayrl {run.versions.get('rayrl', '')} from the run folder {run.path.name}.",
    )


def heading_of_several_runs(comparison: SeveralRuns) -> Heading:
    """Of a page that compares runs: what each letter stands for."""
    facts = {}
    for letter, run in comparison.lettered:
        started = f", started {_moment(run.info.created)}" if run.info.created else ""
        facts[letter] = f"{run.experiment.name} in {run.path.resolve().name}{started}"
    names = dict.fromkeys(run.experiment.name for run in comparison.runs)
    return Heading(
        title=" and ".join(names) if len(names) <= 2 else f"{len(comparison.runs)} runs",
        facts=facts,
        source=f"Written by rayrl {versions()['rayrl']} from {count(len(facts), 'run folder')}.",
    )


def _moment(iso: str) -> str:
    """``2024-05-01 12:30`` of an ISO 8601 time."""
    return iso[:16].replace("T", " ") + (" UTC" if iso.endswith("+00:00") else "")
