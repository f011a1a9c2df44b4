"""The files of a run folder that other stages write, as far as the report reads them."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, Field

from rayrl.config import Config
from rayrl.experience.dataset import EnvInfo
from rayrl.report.options import ReportOptions
from rayrl.storage.hashing import sha256_json


class Record(Config):
    """Part of a file that another stage wrote; what the report does not need of it is passed over."""

    model_config = ConfigDict(extra="ignore")


def _share(given: Any) -> Any:
    """The share of a policy stands in a section of its own."""
    return given.get("share") if isinstance(given, dict) else given


class CollectRecord(Record):
    """The demonstrations that were asked for."""

    demonstrators: dict[str, Annotated[float, BeforeValidator(_share)]] = Field(default={})
    """Share of the steps by demonstrator."""
    replays: str | None = None
    """Replays in place of demonstrators."""
    steps: int = 0
    """Of demonstrators; replays are as many as they are."""

    @property
    def demonstrates(self) -> bool:
        """Whether there are to be demonstrations."""
        return bool(self.demonstrators) or self.replays is not None


class PretrainRecord(Record):
    """The pretraining that was asked for."""

    skip_bc: bool = False


class TrainRecord(Record):
    """The training that was asked for."""

    algorithm: str = ""
    total_steps: int = 0
    evaluate_every: int | None = None


class EvaluateRecord(Record):
    """The evaluation that was asked for."""

    env_config: dict[str, Any] = Field(default={})
    """Options of the environment that differ from those of training."""
    stochastic: bool = False
    """Whether policies are evaluated with drawn actions as well."""


def _name_of(entry: Any) -> Any:
    """The name of an architecture, which may stand in a mapping with its options."""
    return entry.get("name") if isinstance(entry, dict) else entry


class ExperimentRecord(Record):
    """``config.json``."""

    name: str
    seeds: tuple[int, ...]
    env: EnvInfo
    architectures: tuple[Annotated[str, BeforeValidator(_name_of)], ...]
    conditions: tuple[str, ...]
    collect: CollectRecord = CollectRecord()
    pretrain: PretrainRecord = PretrainRecord()
    train: TrainRecord = TrainRecord()
    evaluate: EvaluateRecord = EvaluateRecord()
    report: ReportOptions = ReportOptions()


class InputRecord(Record):
    """A file or folder that the experiment names."""

    copy_: str
    """Relative to the run folder."""
    sha256: str


class RunInfo(Record):
    """``run.json``: the run as its controller knows it."""

    run_id: str = ""
    created: str = ""
    finished: str | None = None
    inputs: dict[str, InputRecord] = Field(default={})
    """By the option that names it."""
    versions: dict[str, str] = Field(default={})


class EnvironmentRecord(Record):
    """``environment.json``: what the run ran on."""

    versions: dict[str, str] = Field(default={})
    hardware: dict[str, Any] = Field(default={})


class ReplaysRecord(Record):
    """What a dataset was imported from."""

    replays: int
    """How many there are."""
    file: str
    """Name of the file or folder."""


class DatasetExtra(Record):
    """What the collect stage adds to the manifest of its dataset."""

    demonstrators: dict[str, dict[str, Any]] = Field(default={})
    """Numbers of each demonstrator, by name; ``scenarios`` has the same for each of its scenarios."""
    scenarios: dict[str, list[dict[str, Any]]] = Field(default={})
    """The options that each scenario replaces, for each of its variants."""
    import_: ReplaysRecord | None = Field(default=None, alias="import")
    """The replays, where these were simulated again."""


class FileRecord(Record):
    """A file of a dataset."""

    name: str
    sha256: str


class DatasetRecord(Record):
    """``collect/manifest.json``."""

    files: tuple[FileRecord, ...] = ()
    extra: DatasetExtra = DatasetExtra()

    @property
    def sha256(self) -> str:
        """As the dataset gives it when it is opened, and manifests record it."""
        return sha256_json({file.name: file.sha256 for file in self.files})


class PolicyRecord(Record):
    """``policy.json`` of a policy folder."""

    weights_sha256: str
    parameters: int | None = None
    """Numbers that the policy is computed from, without those of the value alone."""
    flops: float | None = None
    """Floating point operations of one decision, on the largest observation that there is room for."""


class BatchLatency(Record):
    """How long a policy takes to decide for some observations at once."""

    batch: int
    p50_ms: float
    p99_ms: float


class LatencyRecord(Record):
    """``latency.json`` of a trial; one of those that differ by their seed alone has it."""

    batches: tuple[BatchLatency, ...] = ()


class TrialCosts(Record):
    """What a trial's manifest adds of what it cost."""

    gpu_hours: float | None = None
    """The GPUs that it asked for × the hours in which it collected and learned."""
    peak_memory_bytes: int | None = None
    """The most memory that its processes had."""
    peak_gpu_memory_bytes: int | None = None
    """The most that was allocated on a learner's GPU."""


class TrialManifest(Record):
    """``manifest.json`` of a trial that has finished."""

    extra: TrialCosts = TrialCosts()


class EvaluateExtra(Record):
    """What the evaluate stage adds to its manifest."""

    warnings: tuple[str, ...] = ()
    """Why its results may say less than they seem to, without full stops."""


class EvaluateManifest(Record):
    """``manifest.json`` of the evaluate stage."""

    extra: EvaluateExtra = EvaluateExtra()


class PretrainSummary(Record):
    """``summary.json`` of a pretrained policy."""

    best_epoch: int | None = None
    val_accuracy: float | None = None
    """Share of held-out decisions in which it takes the demonstrator's action."""
    val_loss: float | None = None
    ceiling_accuracy: float | None = None
    """The same for a fit on all demonstrations, the held-out ones among them."""
    agreement: dict[str, Any] = Field(default={})
    """Held-out agreement by demonstrator, scenario and action."""
    warnings: tuple[str, ...] = ()
    """What to change, one sentence each."""
    taken_over: bool = False
    """Whether it is an external policy as it was given, without cloning."""
    rows: int | None = None
    seconds: float | None = None


class TrialRecord(Record):
    """``trial.json``: how far a trial is."""

    state: str
    """``running``, ``stopped``, ``finished`` or ``failed``."""
    step: int
    total_steps: int
    resumed_from: tuple[int, ...] = ()
    exact: bool = True
    error: str | None = None
    stop_reason: str | None = None
    warnings: tuple[str, ...] = ()
    incidents: tuple[str, ...] = ()
    """What happened to its checkpoints and processes, a sentence each with the option to change."""


class ResourcesRecord(Record):
    """Peaks of what a trial took."""

    peak_memory_bytes: int | None = None
    peak_gpu_memory_bytes: int | None = None


class FailureRecord(Record):
    """``failure.json`` of a trial, or of a seed's pretraining: why the run went on without it."""

    name: str
    kind: str
    """``error``, ``out_of_memory``, ``lost`` or ``no_pretraining``."""
    error: str
    """What was raised, and what to do about it."""
    resources: ResourcesRecord = ResourcesRecord()
    when: str = ""


class ChunkRecord(Record):
    """``chunks/chunk_<n>.json`` of a trial: how it ended a part of training."""

    chunk: int
    end: int
    """Environment steps at which the chunk was to end."""
    step: int
    memory_bytes: int | None = None
    """Memory of the trial's processes then."""
