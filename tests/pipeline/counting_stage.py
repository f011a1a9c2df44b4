"""Test stages that count, and ``rayrl`` and ``jobs/<stage>.py`` with these stages alone.

``count`` counts to ``train.options.to`` with a checkpoint after each step, in a Ray actor that keeps a child
process; ``train.options`` can also make it wait for a file ``go`` in the run folder, fail, or fill the disk.
It notes where job and actor run, from where they import the environment, and what is free meanwhile.
``page`` writes the run's report, unless ``train.options.page`` is false.

    python counting_stage.py rayrl run FILE …       the command line
    python counting_stage.py FILE --run-dir DIR     the job of ``count``
"""

import json
import resource
import subprocess
import sys
import time
from pathlib import Path

from rayrl.envs.spec import import_env_module
from rayrl.errors import TrainingError
from rayrl.pipeline import stages
from rayrl.pipeline.context import StageContext, StageOutputs
from rayrl.storage.atomic import write_bytes, write_json

CHECKPOINT = Path("count", "count.json")


def register() -> None:
    """Makes the counting stages the only ones."""
    stages._kinds.clear()
    script = Path(__file__).resolve()
    stages.register_stage(
        stages.StageKind("count", run="counting_stage:count", reads=("train",), script=script)
    )
    stages.register_stage(
        stages.StageKind(
            "page",
            run="counting_stage:page",
            reads=("report",),
            after=("count",),
            needed=lambda experiment: experiment.train.options.get("page", True),
            uses_ray=False,
            script=script.with_name("page_stage.py"),
        )
    )


def count(context: StageContext) -> StageOutputs | None:
    """Counts on from its checkpoint, one step at a time."""
    import ray

    options, env = context.experiment.train.options, context.experiment.env.id
    file = context.folder.path / CHECKPOINT
    state = json.loads(file.read_text()) if file.exists() else {"n": 0, "starts": []}
    state["starts"].append(state["n"])
    if ray.is_initialized():
        counter = ray.remote(num_cpus=0)(_Counter).remote()
        add = lambda n: ray.get(counter.add.remote(n))  # noqa: E731
        state["job"], state["actor"] = whereabouts(env), ray.get(counter.whereabouts.remote(env))
        state["free"] = ray.available_resources()
    else:
        add = (1).__add__
    if "file_size_limit" in options:
        resource.setrlimit(resource.RLIMIT_FSIZE, (options["file_size_limit"],) * 2)
    while state["n"] < options["to"]:
        if context.stop_requested():
            return None
        state["n"] = add(state["n"])
        write_json(file, state, "the count")
        context.progress(state["n"], options["to"], "numbers", square=state["n"] ** 2)
        time.sleep(options.get("delay", 0.0))
        while state["n"] == options.get("hold_at") and not (context.folder.path / "go").exists():
            if context.stop_requested():
                return None
            time.sleep(0.05)
        if state["n"] == options.get("fail_at"):
            raise TrainingError("seven is unlucky", where="train.options.fail_at", remedy="count elsewhere")
        if state["n"] == options.get("crash_at"):
            raise ZeroDivisionError("on purpose")
        if state["n"] == options.get("fill_disk_at"):
            write_bytes(file.with_name("large"), bytes(10_000_000), "a large file")
    return StageOutputs(files=(file,), extra={"starts": state["starts"]})


def whereabouts(env: str) -> list[str]:
    """The working directory, and the file of the environment's module, if it names one."""
    module = import_env_module(env)
    return [str(Path.cwd()), *([str(module.__file__)] if module else [])]


def page(context: StageContext) -> StageOutputs:
    """Writes what was counted as the report."""
    file = context.folder.report_file
    write_bytes(file, (context.folder.path / CHECKPOINT).read_bytes(), "the report")
    return StageOutputs(files=(file,))


class _Counter:
    """Counts in a process of its own, which has a child."""

    def __init__(self) -> None:
        self._child = subprocess.Popen(["sleep", "1000"], start_new_session=True)

    def whereabouts(self, env: str) -> list[str]:
        return whereabouts(env)

    def add(self, n: int) -> int:
        assert self._child.poll() is None
        return n + 1


if __name__ == "__main__":
    register()
    if sys.argv[1] == "rayrl":
        from rayrl.cli.main import main as rayrl

        del sys.argv[1]
        rayrl()
    else:
        from rayrl.pipeline.entry import main

        sys.exit(main("count"))
