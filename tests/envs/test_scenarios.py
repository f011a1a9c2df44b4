"""Scenarios by name and one's own."""

import pytest

from rayrl.envs.scenarios import scenario_specs, scenario_variants, scenarios_of
from rayrl.envs.spec import EnvSpec
from rayrl.errors import ConfigError, EnvError

CART = EnvSpec(id="CartPole-v1", config={"sutton_barto_reward": True})


def test_an_environment_without_scenarios_takes_ones_own():
    assert scenarios_of(CART) == ({}, {})
    variants = scenario_variants(CART, {"plain": {"sutton_barto_reward": False}})
    assert variants == {"plain": [{"sutton_barto_reward": False}]}
    (spec,) = scenario_specs(CART, variants)["plain"]
    assert spec.config == {"sutton_barto_reward": False}
    assert scenario_variants(CART, {}) == {}


def test_names_are_known_or_an_error():
    with pytest.raises(
        ConfigError, match=r"no scenario 'storm' of CartPole-v1\n  CartPole-v1 has none by name"
    ):
        scenario_variants(CART, {"storm": None})
    with pytest.raises(ConfigError, match="did you mean 'half_load'"):
        scenario_variants(EnvSpec(id="rayrl/Router-v0"), {"half_lod": None})
    with pytest.raises(EnvError, match="cannot be imported"):
        scenario_variants(EnvSpec(id="nowhere:Env"), {"storm": None})


def test_options_of_a_scenario_are_checked():
    router = EnvSpec.parse({"id": "rayrl/Router-v0"}, where="env")
    with pytest.raises(ConfigError, match=r"collect.scenarios.odd: .*replica: unknown key"):
        scenario_specs(router, scenario_variants(router, {"odd": {"replica": 3}}))
