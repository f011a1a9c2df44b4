"""docs/evaluation.md: its code runs, and it names every key of the file."""

import re
from pathlib import Path

from rayrl.evaluation.result import FORMAT_VERSION
from tests.evaluation.results import result_of

DOCUMENT = (Path(__file__).parents[2] / "docs" / "evaluation.md").read_text()


def test_the_code_runs():
    (code,) = re.findall(r"^```python\n(.*?)^```", DOCUMENT, re.MULTILINE | re.DOTALL)
    exec(compile(code, "docs/evaluation.md", "exec"), {})


def test_every_key_is_documented():
    rows = "\n".join(line for line in DOCUMENT.splitlines() if line.startswith("| `"))
    value = result_of([1.0, 2.0]).to_json()
    names = {*value, *value["actor"], *value["env"], *value["summary"]["episode_return"]}
    assert {name for name in names if f"`{name}`" not in rows} == set()
    assert f'`"{FORMAT_VERSION}"`' in rows
