"""Each message that docs/troubleshooting.md quotes is one that the code can give, and some are given here."""

import ast
import errno
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rayrl.algorithms import PPOConfig
from rayrl.doctor.gpus import Facts, Gpu, judge_gpus
from rayrl.doctor.machine import judge_object_store
from rayrl.errors import RayrlError
from rayrl.pipeline.cluster import connect
from rayrl.pipeline.experiment import load_experiment
from rayrl.pipeline.preflight import check_environment
from rayrl.pipeline.resources import Capacity, require
from rayrl.pipeline.run_folder import RunFolder, invocation_of
from rayrl.pipeline.shared_folder import not_shared
from rayrl.pipeline.working_dir import Package
from rayrl.storage.atomic import storage_errors

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "troubleshooting.md"
QUOTES = re.findall(r"^```text\n(.*?)\n```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
FEWEST_LETTERS = 10
"""A template with fewer letters of its own would match almost anything."""

Template = list[str | None]
"""The pieces of a text in the code; None is a field."""


def templates() -> Iterator[Template]:
    """Every text in the code."""
    for path in (ROOT / "rayrl").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.JoinedStr(values=values):
                    yield [part.value if isinstance(part, ast.Constant) else None for part in values]
                case ast.Constant(value=str(text)):
                    yield [text]


TEMPLATES = list(templates())


def gives(template: Template, text: str) -> bool:
    letters = sum(len(re.sub(r"\W", "", part)) for part in template if part)
    pattern = "".join(".+" if part is None else re.escape(part.strip("\n")) for part in template)
    return letters >= FEWEST_LETTERS and re.fullmatch(pattern, text) is not None


GPU = Gpu(0, "GPU-1", "NVIDIA H200", "570.1", 140 << 30, 12 << 30, "Default", (4711,))
"""A GPU on which another process computes."""
EXPERIMENT = "name: small\nenv: {id: CartPole-v1}\nconditions: [no_pretrain]\n"


def loaded(tmp_path: Path, *overrides: str):
    file = tmp_path / "small.yaml"
    file.write_text(EXPERIMENT)
    return load_experiment(file, overrides)


def unsupported(tmp_path: Path) -> None:
    config = PPOConfig().environment("CartPole-v1")
    config.batch_mode = "complete_episodes"
    config.validate()


def full_disk(tmp_path: Path) -> None:
    with storage_errors(tmp_path, "a log"):
        raise OSError(errno.ENOSPC, "No space left on device")


def another_experiment(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.prepare(loaded(tmp_path), invocation_of(tmp_path / "small.yaml", (), smoke=False))
    folder.check(loaded(tmp_path, "name=large"))


def room(*nodes: float, cpus: float) -> None:
    capacity = Capacity(tuple({"CPU": cpus, "GPU": 0.0} for cpus in nodes))
    require([{"CPU": cpus, "GPU": 0.0}] * 2, capacity, where="this machine", remedy="")


def sent(tmp_path: Path, **files: int) -> Package:
    """What would be sent of a working directory, by the files' sizes in bytes."""
    return Package(tmp_path, (), True, {tmp_path / name: size for name, size in files.items()}, ())


def blind_node(tmp_path: Path) -> None:
    raise not_shared(["10.0.0.7 (6414017b)"], tmp_path)


RAISED: dict[str, Callable[[Path], object]] = {
    "unknown key": lambda path: loaded(path, "train.total_step=1"),
    "the condition with_pretrain": lambda path: loaded(path, "conditions=[with_pretrain]"),
    "PPOConfig": unsupported,
    "env CartPol-v1": lambda path: check_environment(loaded(path, "env.id=CartPol-v1")),
    "cannot be imported": lambda path: check_environment(loaded(path, "env.id='corridor:Corridor'")),
    "no network here reads": lambda path: check_environment(loaded(path, "env.id=Blackjack-v1")),
    "this machine": lambda path: room(2, cpus=4),
    "do not fit into single nodes": lambda path: room(3, 3, 3, cpus=4),
    "the disk is full": full_disk,
    "of another experiment": another_experiment,
    "files, but no run": lambda path: RunFolder(ROOT).check(loaded(path)),
    "there is no run in": lambda path: RunFolder(path).record,
    "--address": lambda path: connect("http://127.0.0.1:9"),
    "is not seen there": blind_node,
    "the largest files": lambda path: sent(path, replay=120 << 20).check_size(),
    "20000 files": lambda path: sent(path, **dict.fromkeys(map(str, range(20_001)), 1)).check_size(),
    "is imported, but": lambda path: sent(path).check_holds([path / "corridor.py"]),
}
FOUND = {
    "no driver for it": Facts(hardware=("0000:01:00.0",)),
    "a container without GPUs": Facts(kernel_module=True),
    "a build without CUDA": Facts(device_files=True, gpus=(GPU,), torch="2.13.0+cpu"),
    "CUDA_VISIBLE_DEVICES": Facts(device_files=True, gpus=(GPU,), torch_cuda="12.8", visible=""),
    "in use by process": Facts(device_files=True, gpus=(GPU,), torch_cuda="12.8", torch_count=1),
}


GIVEN = {*RAISED, *FOUND, "/dev/shm"}


def quote_with(part: str) -> str:
    (quote,) = [quote for quote in QUOTES if part in quote]
    return quote


def reads(message: str, quote: str) -> bool:
    return re.search(re.escape(quote).replace("…", ".+"), message, re.DOTALL) is not None


@pytest.mark.parametrize("part", RAISED)
def test_what_is_quoted_is_what_is_raised(part, tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, "corridor", raising=False)
    with pytest.raises(RayrlError) as raised:
        RAISED[part](tmp_path)
    assert reads(str(raised.value), quote_with(part))


@pytest.mark.parametrize("part", FOUND)
def test_what_is_quoted_is_what_the_doctor_finds(part):
    assert reads(judge_gpus(FOUND[part]).message, quote_with(part))


def test_the_shared_memory_of_docker():
    assert reads(judge_object_store(memory=16 << 30, shared=64 << 20).message, quote_with("/dev/shm"))


@pytest.mark.parametrize("quote", [quote for quote in QUOTES if not any(part in quote for part in GIVEN)])
def test_the_code_has_each_message_that_takes_more_to_give(quote):
    text = quote.removesuffix("…").removesuffix(": ")
    # Where it was found stands before the message, after a colon; messages hold colons, too.
    candidates = [text, *(text[match.end() :] for match in re.finditer(": ", text))]
    # Where a message is cut short, its template is cut as well.
    cut = range(1, 8) if quote.endswith("…") else [None]
    assert any(
        gives(shortened, candidate)
        for template in TEMPLATES
        for end in cut
        for shortened in (template[:end], _before_colon(template[:end]))
        for candidate in candidates
    ), f"no message of the code reads: {quote}"


def _before_colon(template: Template) -> Template:
    """The template up to the last colon of its last piece."""
    last = template[-1] if template else None
    return [*template[:-1], last.rpartition(":")[0]] if last else template


def test_there_are_as_many_quotes_as_are_worth_a_page():
    assert len(QUOTES) == len(set(QUOTES)) > 25
