import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from rayrl.envs.demonstrators import make_demonstrator
from rayrl.envs.mine_maze.categories import RECIPES
from rayrl.envs.mine_maze.suite import ENV_ID
from rayrl.errors import DataError, EnvError
from tests.envs.mine_maze.mazes import DOWN, RIGHT, STAY, level, playing, single, vector, write_suite

EVERY = dict.fromkeys(RECIPES, 1)
SMALL = {"categories": {"simple": 1, "mine_heavy": 1}, "levels": 20}


def test_gymnasium_finds_nothing_to_complain_about() -> None:
    check_env(single(render_mode="rgb_array", **SMALL))


def test_registering_imports_neither_numba_nor_the_environment() -> None:
    code = "import sys, rayrl.envs; assert not {'numba', 'rayrl.envs.mine_maze.env'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def flat(observation: Any) -> dict[str, Any]:
    return {
        f"{name}/{key}" if key else name: part
        for name, value in observation.items()
        for key, part in (value.items() if isinstance(value, dict) else [("", value)])
    }


@pytest.mark.parametrize("options", [{"categories": EVERY}, {**SMALL, "shaping": {}, "wall_nodes": True}])
def test_vectorized_and_single_do_exactly_the_same(options: dict[str, Any]) -> None:
    envs = vector(3, **options)
    assert envs.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
    alone = SyncVectorEnv([lambda: single(**options)] * 3)
    actions = np.random.default_rng(0).integers(0, 5, (300, 3))
    for seed in (7, None):  # None goes on with the next episodes of the same seeds
        ours, theirs = flat(envs.reset(seed=seed)[0]), flat(alone.reset(seed=seed)[0])
        np.testing.assert_equal(ours, theirs)
        ends = 0
        for action in actions:
            mine, other = envs.step(action), alone.step(action)
            np.testing.assert_equal(flat(mine[0]), flat(other[0]))
            for a, b in zip(mine[1:4], other[1:4], strict=True):
                np.testing.assert_array_equal(a, b)
            assert mine[4].keys() == other[4].keys()
            np.testing.assert_equal(mine[4], other[4])
            assert all(part in envs.single_observation_space[name] for name, part in first(mine[0]).items())
            ends += (mine[2] | mine[3]).sum()
        assert ends > 4


def first(observations: Any) -> dict[str, Any]:
    return {
        name: first(value) if isinstance(value, dict) else value[0] for name, value in observations.items()
    }


def test_static_parts_stay_and_are_never_written_to_again() -> None:
    envs = vector(4, **SMALL)
    static = envs.static_observations
    assert static == tuple(
        f"graph/{name}"
        for name in ("node_features", "node_types", "node_mask", "edge_index", "edge_types", "edge_mask")
    )
    before = flat(envs.reset(seed=0)[0])
    copies = {name: before[name].copy() for name in static}
    over = np.zeros(4, bool)
    changed = 0
    for action in np.random.default_rng(1).integers(0, 5, (200, 4)):
        observations, _, terminated, truncated, _ = envs.step(action)
        now = flat(observations)
        for name in static:
            np.testing.assert_array_equal(before[name], copies[name])
            np.testing.assert_array_equal(now[name][~over], before[name][~over])
            changed += (now[name][over] != before[name][over]).any()
        before, copies, over = now, {name: now[name].copy() for name in static}, terminated | truncated
    assert changed > 10


def test_parts_are_those_that_are_asked_for() -> None:
    env = single(observations=["action_mask", "game_state"])
    observation, _ = env.reset(seed=0)
    assert list(observation) == ["action_mask", "game_state"]
    assert env.static_observations == ()
    assert observation in env.observation_space


def test_sizes_follow_from_the_categories() -> None:
    small, large = single(categories={"very_simple": 1}), single(categories={"complex": 1})
    assert small.observation_space["graph"]["node_types"].shape == (49,)
    assert small.observation_space["global_view"].shape == (21, 21, 1)
    # 7 x 7 cells have 2 * 7 * 6 pairs; start and exit are joined both ways.
    assert small.observation_space["graph"]["edge_types"].shape == (2 * 84 + 2,)
    sized = single(categories={"very_simple": 1}, sized_for=["very_simple", "complex"])
    assert sized.observation_space == large.observation_space


def test_the_next_episode_begins_in_the_step_after_the_last(tmp_path: Path) -> None:
    file = str(write_suite(tmp_path / "levels.json", level("SE", "..")))
    envs = vector(2, level_file=file, observations=["game_state"])
    first, _ = envs.reset(seed=0)
    *_, terminated, _, info = envs.step(np.array([RIGHT, STAY]))
    assert terminated.tolist() == [True, False]
    assert info["_is_success"].tolist() == [True, False]
    assert info["is_success"].tolist() == [1.0, 0.0]
    begun, rewards, terminated, _, info = envs.step(np.array([99, RIGHT]))
    assert rewards.tolist() == [0.0, pytest.approx(0.99)]
    assert terminated.tolist() == [False, True]
    np.testing.assert_array_equal(begun["game_state"][0], first["game_state"][0])


@pytest.mark.parametrize("stop", [0, 1, 60])
@pytest.mark.parametrize("num_envs", [None, 3])
def test_a_restored_environment_goes_on_bitwise(num_envs: int | None, stop: int) -> None:
    options = {"categories": EVERY, "shaping": {}}

    def make() -> Any:
        return single(**options) if num_envs is None else vector(num_envs, **options)

    def advance(env: Any, steps: range) -> list[Any]:
        outcomes: list[Any] = []
        for step in steps:
            if num_envs is None and env.episodes.over[0]:
                outcomes.append(env.reset())
            else:
                outcomes.append(env.step(actions[step] if num_envs else actions[step][0]))
        return outcomes

    actions = np.random.default_rng(0).integers(0, 5, (200, num_envs or 1))
    env = make()
    env.reset(seed=5)
    advance(env, range(stop))
    state = env.get_state()
    expected = advance(env, range(stop, 200))
    restored = make()
    restored.set_state(state)
    np.testing.assert_equal(advance(restored, range(stop, 200)), expected)
    np.testing.assert_equal(restored.get_state(), env.get_state())


def test_a_state_of_another_configuration_is_refused(tmp_path: Path) -> None:
    envs = vector(2, **SMALL)
    envs.reset(seed=0)
    state = envs.get_state()
    with pytest.raises(DataError, match=r"visited has shape \(2, 121\), expected \(2, 49\)"):
        vector(2, categories={"very_simple": 1}).set_state(state)
    file = write_suite(tmp_path / "levels.json", level("SE", "..", category="medium"))
    with pytest.raises(DataError, match="a level that these options do not have"):
        vector(2, level_file=str(file)).set_state(state)
    del state["seeds"]
    with pytest.raises(DataError, match="seeds"):
        vector(2, **SMALL).set_state(state)


@pytest.mark.parametrize(
    ("name", "wrong", "most"),
    [
        ("episodes/cell", 10**9, 3),
        ("episodes/cell", -1, 3),
        ("episodes/doors", 1, 0),  # the level has none
        ("episodes/steps", 9, 8),
        ("episodes/newest", 2, 1),
        ("episodes/ended", 6, 5),
        ("begun", -1, 2**63 - 1),
    ],
)
def test_a_state_that_no_episode_comes_to_is_refused(
    tmp_path: Path, name: str, wrong: int, most: int
) -> None:
    envs = vector(2, level_file=str(write_suite(tmp_path / "levels.json", level("SE", ".."))))
    envs.reset(seed=0)
    envs.step(np.array([STAY, DOWN]))
    state = envs.get_state()
    envs.set_state(state)
    state[name][1] = wrong
    with pytest.raises(DataError) as error:
        envs.set_state(state)
    assert f"the state has {name} = {wrong} in environment 1\n  it must be in 0 to {most};" in str(
        error.value
    )


def test_a_state_of_numbers_of_another_kind_is_refused() -> None:
    envs = vector(2, **SMALL)
    envs.reset(seed=0)
    state = envs.get_state()
    state["episodes/cell"] = state["episodes/cell"] + 0.5
    with pytest.raises(DataError, match="episodes/cell is of float64, not int64"):
        envs.set_state(state)


def test_a_state_on_a_level_of_a_category_that_is_not_played_is_refused() -> None:
    large = vector(2, categories={"medium": 1}, sized_for=["medium"], observations=["game_state"])
    large.reset(seed=0)
    small = vector(2, categories={"simple": 1}, sized_for=["medium"], observations=["game_state"])
    with pytest.raises(DataError, match="a level that these options do not have"):
        small.set_state(large.get_state())


@pytest.mark.parametrize("seed", [-1, 2**64, 1.5])
def test_a_seed_that_is_none_is_refused(seed: float) -> None:
    for env, given in ((single(**SMALL), seed), (vector(2, **SMALL), seed), (vector(2, **SMALL), [1, seed])):
        with pytest.raises(EnvError) as error:
            env.reset(seed=given)
        assert f"seed = {seed}\n  give a whole number from 0 to 2**64 - 1" in str(error.value)


def test_misuse_is_an_error(tmp_path: Path) -> None:
    envs = vector(2, **SMALL)
    with pytest.raises(EnvError, match="before the first reset"):
        envs.step(np.zeros(2, np.int64))
    envs.reset(seed=0)
    with pytest.raises(EnvError, match=r"actions of shape \(3,\) for 2 environments"):
        envs.step(np.zeros(3, np.int64))
    with pytest.raises(EnvError, match=r"seeds of shape \(1,\) for 2 environments"):
        envs.reset(seed=[3])
    with pytest.raises(EnvError, match="there is no action 5"):
        envs.step(np.array([0, 5]))
    env = playing(tmp_path, "SE", "..")
    env.step(RIGHT)
    with pytest.raises(EnvError, match="after the end of the episode"):
        env.step(STAY)
    with pytest.raises(EnvError, match="render before the first reset"):
        single(render_mode="rgb_array").render()


@pytest.mark.parametrize("category", RECIPES)
def test_the_planner_succeeds_in_as_many_steps_as_it_says(category: str) -> None:
    envs = vector(8, categories={category: 1}, observations=["game_state"])
    planner = make_demonstrator(ENV_ID, "planner", seed=0)
    observations, _ = envs.reset(seed=0)
    lengths, ends = np.zeros(8, np.int64), 0
    for _ in range(150):
        observations, _, terminated, truncated, info = envs.step(planner.act(envs, observations))
        lengths += 1
        for b in np.flatnonzero(terminated | truncated):
            assert info["is_success"][b] == 1.0
            assert info["optimal_steps"][b] == lengths[b]
            lengths[b], ends = -1, ends + 1  # the next step begins anew
    assert ends > 8


def test_a_picture_has_a_tile_for_each_cell(tmp_path: Path) -> None:
    env = playing(tmp_path, "S.aA*", ".#..E", "1,2 R", render_mode="rgb_array")
    picture = env.render()
    assert picture.shape == (48, 120, 3)
    tiles = {(i, j): picture[24 * i : 24 * i + 24, 24 * j : 24 * j + 24] for i in range(2) for j in range(5)}
    assert len({tile.tobytes() for tile in tiles.values()}) == 9  # only floor without a mark stands twice
    env.step(RIGHT)
    assert (env.render() != picture).any()
    assert single().render() is None
