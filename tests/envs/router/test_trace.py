from pathlib import Path

import numpy as np
import pytest

from rayrl.envs.router.trace import Trace, load_trace
from rayrl.errors import ConfigError, DataError

HEADER = "arrived_at,num_prefill_tokens,num_decode_tokens\n"


def write(folder: Path, text: str) -> Path:
    path = folder / "trace.csv"
    path.write_text(text)
    return path


def test_rows_and_columns_come_as_they_are(tmp_path: Path) -> None:
    text = "num_decode_tokens,note,arrived_at,num_prefill_tokens\n3,a,0.0,10\n4,b,0.5,20\n5,c,0.5,30\n"
    trace = load_trace(write(tmp_path, text), kv_tokens=100)
    assert trace.arrived.tolist() == [0.0, 0.5, 0.5]
    assert trace.prefill.tolist() == [10, 20, 30]
    assert trace.decode.tolist() == [3, 4, 5]


def test_the_last_fifth_is_for_evaluation() -> None:
    trace = Trace(np.arange(12.0), np.arange(12), np.arange(12))
    assert trace.part("train").prefill.tolist() == list(range(10))
    assert trace.part("eval").prefill.tolist() == [10, 11]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "arrived_at,prefill,num_decode_tokens\n0,1,1\n",
            "no column 'num_prefill_tokens'; it has arrived_at",
        ),
        (HEADER + "0,1,1\nnan,1,1\n", "line 3: arrived_at = nan is not a finite number"),
        (HEADER + "0,1,1\n,1,1\n", "line 3: arrived_at = nan is not a finite number"),
        (HEADER + "0,1,1\n2,1,1\n1.5,1,1\n", "line 4: arrived_at = 1.5 is earlier than the line before"),
        (HEADER + "0,1,1\n1,two,1\n", "column 'num_prefill_tokens' is not numeric"),
        (HEADER + "0,1,1\n1,0,1\n", "line 3: num_prefill_tokens = 0 is not a number of tokens"),
        (HEADER + "0,1,1\n1,1,2.5\n", "line 3: num_decode_tokens = 2.5 is not a number of tokens"),
        (HEADER + "0,1,1\n1,,1\n", "line 3: num_prefill_tokens = nan is not a number of tokens"),
        (
            HEADER + "0,1,1\n1,60,41\n",
            "line 3: num_prefill_tokens + num_decode_tokens = 101 exceeds the KV cache",
        ),
        (HEADER + "0,1,1\n1,1\n", "not a CSV file"),
        ("", "not a CSV file"),
    ],
)
def test_a_bad_trace_is_refused_by_line_and_value(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(DataError) as raised:
        load_trace(path, kv_tokens=100)
    assert message in str(raised.value)
    assert str(raised.value).startswith(str(path))
    assert raised.value.remedy


def test_a_missing_trace_is_a_wrong_option(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"trace = '.*absent.csv': no such file"):
        load_trace(tmp_path / "absent.csv", kv_tokens=100)
