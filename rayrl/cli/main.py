"""The ``rayrl`` command: thin over library functions, which are imported when a command runs."""

from __future__ import annotations

import json
import os
import sys
import traceback
from enum import StrEnum
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from rayrl.cli import completion, data, evaluation, imports, policy, suite
from rayrl.cli import run as run_command
from rayrl.cli.options import AsJson, Debug, EnvId, File, Overrides
from rayrl.errors import RayrlError, RunError
from rayrl.pipeline import spinning

app = typer.Typer(
    name="rayrl",
    help="Distributed reinforcement learning on Ray: from logged experience to compared policies.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.add_typer(data.app, name="data")
app.add_typer(imports.app, name="import")
app.add_typer(policy.app, name="policy")
app.add_typer(suite.app, name="suite")


RunFolderPath = Annotated[
    Path, typer.Argument(metavar="RUN_DIR", help="Run folder.", autocompletion=completion.run_folders)
]
app.command()(run_command.run)
app.command(run_command.COMPARE, help=run_command.COMPARE_HELP)(run_command.run)
app.command()(evaluation.evaluate)


@app.command()
def init(
    file: Annotated[
        Path | None,
        typer.Argument(metavar="[FILE]", help="File to write; named after the environment when not given."),
    ] = None,
    env: EnvId = "rayrl/Router-v0",
    debug: Debug = False,
) -> None:
    """Writes a commented experiment file for an environment, which it builds and looks at."""
    from rayrl.pipeline.draft import write_draft

    written = write_draft(env, file)
    typer.echo(f"{written} is written; next:\n  rayrl run {written} --smoke\n  rayrl run {written}")


@app.command()
def stage(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME", help="Stage, such as collect or train.", autocompletion=completion.stages
        ),
    ],
    file: File,
    run_dir: Annotated[Path, typer.Option(metavar="DIR", help="Run folder; made if it is not there.")],
    overrides: Overrides = None,
    architecture: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Only this architecture's part of the stage.",
            autocompletion=completion.architectures,
        ),
    ] = None,
    chunk: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Only this chunk of training.")
    ] = None,
    debug: Debug = False,
) -> None:
    """Runs one stage in this process, as jobs/<stage>.py does in a Ray Job; prints where its results are."""
    from rayrl.pipeline.entry import run_stage
    from rayrl.pipeline.progress import RunView

    with RunView() as view:
        folder = run_stage(name, file, run_dir, overrides or (), architecture, chunk=chunk, view=view)
    typer.echo(folder.report_file if name == "report" else folder.path)


@app.command()
def status(
    run_dir: RunFolderPath,
    as_json: AsJson = False,
    dashboard: Annotated[
        bool, typer.Option("--dashboard", help="Shows URL and token of the run's Ray, on a terminal only.")
    ] = False,
    debug: Debug = False,
) -> None:
    """Shows how far a run is."""
    from rayrl.cli.tables import print_status
    from rayrl.pipeline.run_folder import RunFolder
    from rayrl.pipeline.status import dashboard_access, run_status

    folder = RunFolder(run_dir)
    if dashboard:
        if not sys.stdout.isatty():
            raise RunError("URL and token are shown on a terminal only", where="--dashboard")
        access = dashboard_access(folder)
        typer.echo(f"{access.dashboard}\ntoken: {access.token}")
        return
    found = run_status(folder)
    if as_json:
        typer.echo(json.dumps(found.model_dump(), indent=2))
    else:
        print_status(found)


@app.command()
def watch(run_dir: RunFolderPath, debug: Debug = False) -> None:
    """Shows a run as it goes, until it ends; exit code 1 if it ends unfinished."""
    from rayrl.cli.watch import watch as show
    from rayrl.pipeline.run_folder import RunFolder

    folder = RunFolder(run_dir)
    show(folder)
    typer.echo(folder.report_file if folder.report_file.exists() else folder.path)


@app.command()
def stop(run_dir: RunFolderPath, debug: Debug = False) -> None:
    """Lets a run write a checkpoint and end; the same `rayrl run` goes on later."""
    from rayrl.pipeline.lock import holder_of
    from rayrl.pipeline.run_folder import RunFolder
    from rayrl.pipeline.stop import request_stop

    folder = RunFolder(run_dir)
    record, holder = folder.record, holder_of(folder.lock_file)
    if record.finished and not holder:
        raise RunError("the run has finished", where=str(folder), remedy="there is nothing to stop")
    request_stop(folder, "rayrl stop")
    whom = f"; {holder} ends then" if holder else ", if a job of it still runs: no controller does"
    typer.echo(f"{record.run_id} stops at its next checkpoint{whom}")


@app.command()
def report(
    run_dirs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN_DIR...",
            help="Run folder; with several, one page holds the others against the first.",
            autocompletion=completion.run_folders,
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder to write; report in the run folder when not given, and comparison here for several.",
        ),
    ] = None,
    debug: Debug = False,
) -> None:
    """Builds the report of a run anew, or one that compares several; the page's path is printed."""
    from rayrl.pipeline.report_stage import rebuild
    from rayrl.report import build_report, compare_runs

    if len(run_dirs) == 1:
        typer.echo(rebuild(run_dirs[0]) if out is None else build_report(run_dirs[0], out))
    else:
        typer.echo(compare_runs(run_dirs, out or Path("comparison")))


@app.command()
def doctor(
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="Experiment file, to look at what it needs.")
    ] = None,
    overrides: Overrides = None,
    address: Annotated[
        str | None, typer.Option(metavar="URL", help="Cluster that the jobs would be sent to.")
    ] = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Looks for what stands in the way of a run here; exit code 1 if something does."""
    from rayrl.cli.tables import print_finding
    from rayrl.doctor.diagnose import diagnose

    diagnosis = diagnose(
        file,
        overrides or (),
        address=address or run_command.cluster_of_environment(),
        say=(lambda finding: None) if as_json else print_finding,
    )
    if as_json:
        typer.echo(json.dumps(diagnosis.model_dump(), indent=2))
    if not diagnosis.healthy:
        raise typer.Exit(1)


@app.command()
def verify_resume(
    file: File,
    overrides: Overrides = None,
    iterations: Annotated[
        int, typer.Option(metavar="N", min=2, help="Iterations to train; the kill comes in the middle.")
    ] = 4,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Tries whether training that is killed goes on exactly; exit code 1 if it does not."""
    from rayrl.cli.tables import print_finding
    from rayrl.doctor.resume import verify_resume as verify

    diagnosis = verify(
        file,
        overrides or (),
        iterations=iterations,
        say=(lambda finding: None) if as_json else print_finding,
    )
    if as_json:
        typer.echo(json.dumps(diagnosis.model_dump(), indent=2))
    if not diagnosis.healthy:
        raise typer.Exit(1)


class Kind(StrEnum):
    """What ``rayrl list`` lists."""

    envs = "envs"
    architectures = "architectures"
    algorithms = "algorithms"
    demonstrators = "demonstrators"
    scenarios = "scenarios"
    suites = "suites"


@app.command(name="list")
def list_names(
    kind: Annotated[Kind, typer.Argument(metavar="|".join(Kind))],
    debug: Debug = False,
) -> None:
    """Lists the names that an experiment file may use."""
    from rayrl.cli import names

    for name in getattr(names, kind.value)():
        typer.echo(name)


def main() -> NoReturn:
    """Runs the command; an error is one message and exit code 1 (wrong usage 2, Ctrl-C 130)."""
    # As `python -m` does: an environment may be a module in the working directory.
    sys.path.insert(0, str(Path.cwd()))
    # What `--local` and `rayrl evaluate` compute, they do here.
    os.environ[spinning.VARIABLE] = spinning.spin_count()
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(130)
    except RayrlError as error:
        _fail(error, str(error))
    except Exception as error:
        _fail(error, f"{type(error).__name__}: {error}\n  this is a fault of rayrl; --debug shows where")
    sys.exit(0)


def _fail(error: Exception, message: str) -> NoReturn:
    if "--debug" in sys.argv:
        traceback.print_exception(error)
    print(f"error: {message}", file=sys.stderr)
    sys.exit(1)


if __name__ == "__main__":
    main()
