import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rayrl.envs.router.config import RouterConfig
from rayrl.envs.router.episodes import RouterEpisodes
from rayrl.envs.router.workload import Workload
from rayrl.errors import ConfigError, DataError


def workload(**options: Any) -> Workload:
    return Workload(RouterConfig.parse(options, where="test"))


def trace_file(folder: Path, rows: int) -> Path:
    """Request i arrives at 2 i seconds with i + 1 prompt tokens and 3 to generate."""
    path = folder / "trace.csv"
    lines = [f"{2 * i},{i + 1},3" for i in range(rows)]
    path.write_text("\n".join(["arrived_at,num_prefill_tokens,num_decode_tokens", *lines]))
    return path


@pytest.mark.parametrize(("arrivals", "cv"), [("poisson", 1.0), ("gamma", 3.0)])
def test_synthetic_gaps_have_the_rate_and_the_burstiness_asked_for(arrivals: str, cv: float) -> None:
    requests = workload(arrivals=arrivals, burstiness=3.0, qps=5.0, requests=200_000).draw(1, 0)
    gaps = np.diff(requests.arrived)
    assert requests.arrived[0] == 0
    assert gaps.mean() == pytest.approx(1 / 5, rel=0.03)
    assert gaps.std() / gaps.mean() == pytest.approx(cv, rel=0.03)


def test_lengths_have_the_mean_and_spread_asked_for_up_to_the_maximum() -> None:
    lengths = {"mean": 100, "cv": 0.5, "maximum": 5000}
    short = {"mean": 8, "cv": 2, "maximum": 9}
    requests = workload(prefill=lengths, decode=short, requests=100_000).draw(1, 0)
    assert requests.prefill.mean() == pytest.approx(100, rel=0.01)
    assert requests.prefill.std() == pytest.approx(50, rel=0.02)
    assert requests.decode.min() == 1
    assert requests.decode.max() == 9


def test_seed_episode_and_split_each_change_the_draw_and_nothing_else_does() -> None:
    first, again = workload().draw(1, 0), workload(replicas=2, target_load=0.5).draw(1, 0)
    np.testing.assert_array_equal(first.prefill, again.prefill)
    np.testing.assert_array_equal(first.decode, again.decode)
    for other in (workload().draw(2, 0), workload().draw(1, 1), workload(split="eval").draw(1, 0)):
        assert not np.array_equal(first.prefill, other.prefill)


def test_the_load_is_a_share_of_what_saturated_replicas_serve() -> None:
    config = RouterConfig(replicas=2, speeds=(1.0, 2.0), target_load=3.0, requests=8000)
    episodes = RouterEpisodes(config, num_envs=1)
    episodes.reset(np.zeros(1, np.uint64))
    speeds = np.array(config.replica_speeds)
    for _ in range(config.requests):
        result = episodes.step((episodes.simulation.queue_lengths / speeds).argmin(axis=1))
    capacity = episodes.workload.saturation.requests_per_s
    assert episodes.workload.rate == pytest.approx(3 * capacity)
    assert result.metrics["throughput"][0] == pytest.approx(capacity, rel=0.05)


def test_windows_of_a_trace_are_contiguous_and_stay_in_their_part(tmp_path: Path) -> None:
    path = trace_file(tmp_path, rows=100)
    for split, first, last in (("train", 0, 80), ("eval", 80, 100)):
        source = workload(trace=path, split=split, requests=9, qps=0.5)
        starts = set()
        for seed in range(1000):
            requests = source.draw(seed, 0)
            rows = requests.prefill - 1
            assert np.diff(rows).tolist() == [1] * 9
            assert first <= rows[0] <= rows[-1] < last
            starts.add(int(rows[0]))
        assert starts == set(range(first, last - 9))


def test_the_gaps_of_a_trace_are_rescaled_to_the_rate_or_kept(tmp_path: Path) -> None:
    path = trace_file(tmp_path, rows=100)
    assert np.diff(workload(trace=path, requests=9, qps=4.0).draw(0, 0).arrived) == pytest.approx([0.25] * 9)
    kept = workload(trace=path, requests=9, target_load=None)
    assert kept.rate == 0.5
    assert np.diff(kept.draw(0, 0).arrived) == pytest.approx([2.0] * 9)
    loaded = workload(trace=path, requests=9, target_load=0.5)
    assert loaded.rate == pytest.approx(0.5 * loaded.saturation.requests_per_s)


def test_a_trace_wins_over_synthetic_arrivals_and_the_log_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = trace_file(tmp_path, rows=100)
    with caplog.at_level(logging.INFO, logger="rayrl.envs.router.workload"):
        source = workload(arrivals="poisson", trace=path, requests=9)
    assert source.draw(0, 0).decode.tolist() == [3] * 10
    assert f"arrivals come from {path} (train part)" in caplog.text


def test_a_part_shorter_than_an_episode_is_refused(tmp_path: Path) -> None:
    path = trace_file(tmp_path, rows=100)
    workload(trace=path, split="eval", requests=19)
    with pytest.raises(ConfigError, match=r"requests = 20: the eval part of .*trace.csv holds 20 requests"):
        workload(trace=path, split="eval", requests=20)


def test_a_trace_in_which_no_time_passes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "trace.csv"
    path.write_text("arrived_at,num_prefill_tokens,num_decode_tokens\n" + "7,1,1\n" * 20)
    with pytest.raises(DataError, match="all requests of the train part arrive at once, at 7 s"):
        workload(trace=path, requests=5)
