"""``rayrl.run``: an experiment from Python, as ``rayrl run`` does it from a shell."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rayrl.pipeline.controller import require_all, run_experiment
from rayrl.pipeline.progress import RunView
from rayrl.pipeline.resume import RunOptions


def run(
    file: Path | str,
    *,
    run_dir: Path | str | None = None,
    new: bool = False,
    overrides: Sequence[str] = (),
    address: str | None = None,
    cluster_file: Path | str | None = None,
    local: bool = False,
    smoke: bool = False,
) -> Path:
    """Runs an experiment to its report, skipping what is done, and prints how far it is.

    Args:
        file: the experiment file.
        run_dir: the run folder; None takes the newest unfinished one of the same file and overrides, or a new
            one below ``runs``.
        new: start another run, even if one is unfinished.
        overrides: ``key.path=value``, as after ``--set``.
        address: a cluster to send the jobs to, by its dashboard's URL; None starts a private Ray.
        cluster_file: the cluster launcher's YAML file of that cluster.
        local: run all stages in this process.
        smoke: cut the experiment down to seconds.

    Returns:
        The run folder, finished; the report is ``report/report.html`` in it.

    Raises:
        ConfigError: the file or an override is wrong.
        ResourceError: the machine or the cluster has no room for a trial.
        EnvError: the environment cannot be built.
        RunError: the folder holds another experiment, the cluster does not answer, or the run was stopped.
        StageError: trials, or seeds' pretraining, failed while the rest went on to the report.
        RayrlError: what a stage raised.
    """
    options = RunOptions(
        run_dir=None if run_dir is None else Path(run_dir),
        new=new,
        overrides=overrides,
        address=address,
        cluster_file=None if cluster_file is None else Path(cluster_file),
        local=local,
        smoke=smoke,
    )
    with RunView() as view:
        folder = run_experiment(Path(file), options, view)
    require_all(folder)
    return folder.path
