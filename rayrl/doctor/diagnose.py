"""Looks at everything."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from rayrl.doctor.experiment import check_experiment
from rayrl.doctor.finding import Diagnosis, Finding
from rayrl.doctor.gpus import check_gpus
from rayrl.doctor.machine import check_cpus, check_disk, check_memory, check_object_store
from rayrl.doctor.software import check_ray_access, check_versions


def diagnose(
    file: Path | None = None,
    overrides: Sequence[str] = (),
    *,
    address: str | None = None,
    folder: Path = Path("runs"),
    say: Callable[[Finding], None] = lambda finding: None,
) -> Diagnosis:
    """Looks at this machine, and at what an experiment needs of it.

    Args:
        file: the experiment file; None looks at the machine alone.
        overrides: ``key.path=value``.
        address: the cluster that jobs would be sent to; None takes this machine.
        folder: where run folders would be made.
        say: told each finding as it is made.
    """
    findings = []
    for finding in _findings(file, overrides, address, folder):
        say(finding)
        findings.append(finding)
    healthy = all(finding.state != "problem" for finding in findings)
    return Diagnosis(healthy=healthy, findings=tuple(findings))


def _findings(
    file: Path | None, overrides: Sequence[str], address: str | None, folder: Path
) -> Iterator[Finding]:
    yield check_versions()
    yield check_cpus()
    yield check_memory()
    yield check_object_store()
    yield check_disk(folder, "run folders")
    yield check_disk(Path(tempfile.gettempdir()), "temporary files")
    yield check_gpus()
    access = check_ray_access(address)
    yield access
    if file is not None:
        answers = access.state != "problem"
        yield from check_experiment(file, overrides, address=address, answers=answers)
