import numpy as np
import pytest

from rayrl.envs.router.config import RouterConfig
from rayrl.envs.router.episodes import RouterEpisodes
from tests.envs.router.fleet import Fleet


def test_a_long_prompt_is_prefilled_in_chunks_of_the_token_budget() -> None:
    # 10 prompt tokens at 4 per iteration: 4, 4 and 2 seconds; then a second for each further token.
    fleet = Fleet([(0, 10, 3)], batching={"max_sequences": 4, "token_budget": 4}).run()
    assert fleet.times("first_token") == [4 + 4 + 2]
    assert fleet.times("finished") == [10 + 1 + 1]


def test_decoding_goes_on_beside_the_chunks_of_another_prompt() -> None:
    # t = 0: A prefills 3.                     t = 3: A decodes (2nd token), B prefills 3 of 6.
    # t = 7: A decodes (3rd), B prefills 3 and has its 1st token at 11. t = 11: both decode their last.
    fleet = Fleet([(0, 3, 4), (1, 6, 2)], batching={"max_sequences": 4, "token_budget": 4}).run()
    assert fleet.times("first_token") == [3, 11]
    assert fleet.times("finished") == [13, 13]


def test_an_iteration_costs_what_the_cost_model_says_divided_by_the_speed() -> None:
    cost = {"overhead_s": 0.5, "weights_s": 2.0, "token_s": 1.0, "kv_token_s": 0.25}
    fleet = Fleet([(0, 3, 2)], cost=cost, speeds=[2.0]).run()
    prefill = 0.5 + max(2.0, 1.0 * 3) + 0.25 * 0
    decode = 0.5 + max(2.0, 1.0 * 1) + 0.25 * 3
    assert fleet.times("first_token") == [prefill / 2]
    assert fleet.times("finished") == [(prefill + decode) / 2]


def test_the_simulation_and_the_cost_model_agree() -> None:
    config = RouterConfig()
    fleet = Fleet([(0, 700, 2)], cost=config.cost.model_dump(), batching={"token_budget": 512}).run()
    first = config.cost.iteration_s(512, 0) + config.cost.iteration_s(188, 512)
    assert fleet.times("first_token") == pytest.approx([first], rel=1e-12)
    assert fleet.times("finished") == pytest.approx([first + config.cost.iteration_s(1, 700)], rel=1e-12)


def test_without_a_free_block_the_newest_request_is_preempted_and_computed_again() -> None:
    # 4 blocks of 2 tokens. t = 0: A prefills 3 (2 blocks). t = 3: A decodes its 4th, B prefills 3 (2 blocks).
    # t = 7: A's 5th token needs a block, none is free: B is preempted, and nothing is admitted now.
    # t = 8: B needs 2 blocks for 3 + 1 tokens, 1 is free. t = 9: A is done; B prefills 4, has its 2nd token
    # at 13, and its 3rd and 4th at 14 and 15.
    cache = {"blocks": 4, "block_size": 2, "watermark": 0.0}
    fleet = Fleet([(0, 3, 4), (0, 3, 4)], kv_cache=cache).run()
    assert fleet.times("first_token") == [3, 7]
    assert fleet.times("finished") == [9, 15]
    assert fleet.simulation.episodes["preemptions"].tolist() == [1]


def test_a_preempted_request_goes_before_those_that_came_later() -> None:
    # As above with C behind: at 9 both fit, B first. B: 4 tokens and C: 1, so both have a token at 14.
    cache = {"blocks": 4, "block_size": 2, "watermark": 0.0}
    fleet = Fleet([(0, 3, 4), (0, 3, 4), (4, 1, 1)], kv_cache=cache)
    fleet.route(0, 0, 0)
    preempted_at_8 = Fleet([(0, 3, 4), (0, 3, 4), (4, 1, 1), (8.5, 1, 1)], kv_cache=cache).route(0, 0, 0)
    assert preempted_at_8.replica["preempted"] == 1
    assert preempted_at_8.replica["waiting"] == 2
    assert preempted_at_8.replica["head"] == 1
    assert fleet.times("first_token") == [3, 7, 14]


def test_admission_leaves_the_watermark_free_unless_the_replica_is_empty() -> None:
    # 1 of 4 blocks is reserved: B waits for A, which is done at 4, though 2 blocks are free before.
    cache = {"blocks": 4, "block_size": 2, "watermark": 0.25}
    assert Fleet([(0, 3, 2), (0, 3, 1)], kv_cache=cache).run().times("first_token") == [3, 7]
    # A request that needs every block is served all the same.
    assert Fleet([(0, 7, 1)], kv_cache=cache).run().times("finished") == [7]


def test_no_more_requests_run_than_the_batch_holds() -> None:
    # A's 3 + 1 tokens are done at 4, though B and C came at 1 and 2; they follow one by one.
    fleet = Fleet([(0, 3, 2), (1, 1, 1), (2, 1, 1)], batching={"max_sequences": 1, "token_budget": 8})
    assert fleet.run().times("finished") == [4, 5, 6]


def test_replicas_do_not_wait_for_each_other() -> None:
    requests = [(0.0, 4, 1), (1.0, 4, 1)]
    apart = Fleet(requests, replicas=2, speeds=[1.0, 2.0]).route(0, 1)
    assert apart.times("finished") == [4, 1 + 4 / 2]
    assert Fleet(requests, replicas=2).route(1, 1).times("finished") == [4, 8]


def test_an_idle_replica_starts_a_request_when_it_arrives() -> None:
    assert Fleet([(0, 2, 1), (5, 2, 1)]).run().times("finished") == [2, 7]


@pytest.mark.parametrize("seed", range(5))
def test_tokens_and_blocks_are_conserved(seed: int) -> None:
    options = {
        "replicas": 3,
        "requests": 150,
        "target_load": 1.5,
        "kv_cache": {"blocks": 80},
        "batching": {"max_sequences": 12, "token_budget": 64},
        "prefill": {"mean": 100, "cv": 1.0, "maximum": 800},
        "decode": {"mean": 80, "cv": 1.0, "maximum": 400},
    }
    config = RouterConfig.parse(options, where="test")
    episodes = RouterEpisodes(config, num_envs=2)
    episodes.reset(np.array([seed, seed + 100], np.uint64))
    actions = np.random.default_rng(seed).integers(0, 3, (150, 2))
    for step in range(150):
        episodes.step(actions[step])
        for b in range(2):
            _check_invariants(episodes, b, routed=step + 1, drained=step == 149)
    requests = episodes.simulation.requests[:, :-1]
    assert (requests["emitted"] == requests["decode"]).all()
    # A request's last token is never computed: nothing follows it.
    assert (requests["computed"] == requests["prefill"] + requests["decode"] - 1).all()
    assert (episodes.simulation.replicas["allocated"] == 0).all()
    assert (requests["arrived"] < requests["first_token"]).all()
    assert (requests["first_token"] <= requests["finished"]).all()
    assert (episodes.simulation.episodes["preemptions"] > 0).all()


def _check_invariants(episodes: RouterEpisodes, b: int, *, routed: int, drained: bool) -> None:
    requests = episodes.simulation.requests[b]
    seen = int((~np.isnan(requests["finished"])).sum())
    for r in range(episodes.config.replicas):
        replica = episodes.simulation.replicas[b, r]
        running = episodes.simulation.running[b, r, : replica["running"]]
        waiting = []
        q = replica["head"]
        for _ in range(replica["waiting"]):
            waiting.append(q)
            q = requests[q]["behind"]
        assert replica["allocated"] == requests[running]["blocks"].sum() <= episodes.config.kv_cache.blocks
        assert (requests[running]["computed"] <= requests[running]["blocks"] * 16).all()
        assert (requests[waiting]["blocks"] == 0).all()
        assert replica["preempted"] == requests[waiting]["preempted"].sum()
        assert (requests[[*running, *waiting]]["replica"] == r).all()
        assert len(running) <= episodes.config.batching.max_sequences
        assert not (drained and (len(running) or waiting))
        seen += len(running) + len(waiting)
    assert seen == routed


def test_littles_law_holds() -> None:
    # Poisson arrivals see time averages, so the mean number in the system that they find is L = λ W.
    config = RouterConfig(requests=20_000)
    episodes = RouterEpisodes(config, num_envs=1)
    episodes.reset(np.array([3], np.uint64))
    found = np.empty(config.requests)
    for step in range(config.requests):
        queue_lengths = episodes.simulation.queue_lengths
        found[step] = queue_lengths.sum()
        episodes.step(queue_lengths.argmin(axis=1))
    requests = episodes.simulation.requests[0, :-1]
    rate = (config.requests - 1) / requests["arrived"][-1]
    latency = (requests["finished"] - requests["arrived"]).mean()
    assert found.mean() == pytest.approx(rate * latency, rel=0.02)


@pytest.mark.parametrize(
    ("batch", "prefill", "decode", "published"),
    [
        # TensorRT-LLM 0.5 and 0.6.1, LLaMA 7B in fp16 on one A100: output tokens per second.
        (64, 128, 128, 3486),
        (32, 128, 2048, 1459),
        (32, 2048, 128, 529),
        (16, 2048, 2048, 592),
        (384, 128, 128, 5586),
        (60, 128, 2048, 1928),
        (52, 2048, 128, 591),
    ],
)
def test_default_costs_are_within_15_percent_of_published_throughput(
    batch: int, prefill: int, decode: int, published: float
) -> None:
    fleet = Fleet(
        [(0.0, prefill, decode)] * batch,
        cost=RouterConfig().cost.model_dump(),
        kv_cache={"blocks": 10_000, "watermark": 0.0},
        batching={"max_sequences": batch, "token_budget": 8192},
    ).run()
    assert batch * decode / max(fleet.times("finished")) == pytest.approx(published, rel=0.15)
