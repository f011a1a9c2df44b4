"""What the report says of training in chunks, of memory, and of what happened to checkpoints."""

from rayrl.report import build_report
from rayrl.report.run_reader import read_run
from rayrl.report.sections import chunks
from rayrl.report.sections.registry import sections_for
from rayrl.report.sections.warnings import warnings_of
from tests.report.run_folder import write_json, write_run, write_trial

MIB = 2**20


def write_chunk(folder, condition, seed, number, **record):
    file = folder / "mlp_baseline" / condition / f"seed_{seed}" / "chunks" / f"chunk_{number}.json"
    write_json(
        file, {"chunk": number, "end": 50_000 * number, "step": 51_200 * number, "exact": True} | record
    )


def test_an_uncut_training_has_no_section_of_chunks(tmp_path):
    write_run(tmp_path)
    write_chunk(tmp_path, "no_pretrain", 0, 1, memory_bytes=400 * MIB)
    assert "chunks" not in [section.key for section in sections_for(read_run(tmp_path))]


def test_each_chunk_has_a_row_with_its_memory(tmp_path):
    write_run(tmp_path)
    for seed, memory in ((0, 400), (1, 420)):
        write_chunk(tmp_path, "no_pretrain", seed, 1, memory_bytes=memory * MIB)
        write_chunk(tmp_path, "no_pretrain", seed, 2, memory_bytes=(memory + 20) * MIB)
    write_chunk(tmp_path, "with_pretrain", 0, 1)
    (table, _) = chunks.build(read_run(tmp_path))
    cells = [row.split("</tr>")[0] for row in str(table).split("<tr>")[2:]]
    for shown in ("1", "50,000", "3 of 6", "410 MiB", "420 MiB", "100.0 %"):
        assert shown in cells[0]
    # (420 + 440) / (400 + 420)
    for shown in ("2", "100,000", "2 of 6", "430 MiB", "440 MiB", "104.9 %"):
        assert shown in cells[1]
    assert "Training in chunks" in build_report(tmp_path).read_text()


def test_what_happened_to_checkpoints_is_warned_of(tmp_path):
    write_run(tmp_path)
    told = "the checkpoint of step 4,096 is damaged (output a is missing), and that of step 2,048 is used"
    write_trial(tmp_path, "no_pretrain", 0, warnings=["a spike; lower lr"], incidents=[told])
    name = "mlp_baseline/no_pretrain/seed_0"
    assert warnings_of(read_run(tmp_path)) == [f"{name}: a spike; lower lr.", f"{name}: {told}."]
