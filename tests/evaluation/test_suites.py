"""Categories of an evaluation: what each plays, and results that hold several."""

import pytest

from rayrl.envs.spec import EnvSpec
from rayrl.errors import ConfigError, DataError, IntegrityError
from rayrl.evaluation.category import Category
from rayrl.evaluation.comparison import are_paired
from rayrl.evaluation.environment import evaluation_spec
from rayrl.evaluation.evaluator import evaluate
from rayrl.evaluation.result import join_categories, load_result
from rayrl.evaluation.suites import AS_TRAINED, categories_of, register_suite
from tests.evaluation.results import result_of

ROUTER = EnvSpec(id="rayrl/Router-v0", config={"replicas": 3, "requests": 32})
SIX = ["steady", "bursty", "prefill_heavy", "decode_heavy", "overload", "heterogeneous"]


def test_without_a_suite_the_environment_is_played_as_trained():
    assert categories_of(ROUTER, None, {}) == {AS_TRAINED: Category({})}


def test_the_routers_suite_has_six_categories_after_as_trained():
    found = categories_of(ROUTER, "router_standard", {})
    assert list(found) == [AS_TRAINED, *SIX]
    assert found["heterogeneous"].changes["speeds"] == (1.4, 1.2, 0.8)


def test_categories_are_synthetic_even_where_training_is_on_a_trace(tmp_path):
    trace = tmp_path / "trace.csv"
    rows = "".join(f"{second},100,10\n" for second in range(200))
    trace.write_text(f"arrived_at,num_prefill_tokens,num_decode_tokens\n{rows}")
    on_trace = EnvSpec(id="rayrl/Router-v0", config={"trace": str(trace), "requests": 32})
    for category in list(categories_of(on_trace, "router_standard", {}).values())[1:]:
        assert evaluation_spec(on_trace, category.changes).config["trace"] is None


@pytest.mark.parametrize("category", SIX)
def test_every_category_differs_from_the_others_and_can_be_played(category):
    found = categories_of(ROUTER, "router_standard", {})
    results = {
        name: evaluate("least_outstanding", ROUTER, episodes=2, env_config=found[name].changes)
        for name in {category, "steady"}
    }
    same = (
        results[category].values("latency_p50").tolist() == results["steady"].values("latency_p50").tolist()
    )
    assert same == (category == "steady")


def test_own_categories_come_after_those_of_the_suite():
    found = categories_of(ROUTER, "router_standard", {"idle": {"target_load": 0.2}})
    assert list(found)[-1] == "idle"


@pytest.mark.parametrize(
    ("env", "suite", "further", "message"),
    [
        (ROUTER, "router_standart", {}, "router_standard"),
        (EnvSpec(id="CartPole-v1"), "router_standard", {}, "is for rayrl/Router-v0, not for CartPole-v1"),
        (ROUTER, "router_standard", {"steady": {}}, "'steady' is there twice"),
        (ROUTER, None, {AS_TRAINED: {}}, "'as_trained' is there twice"),
    ],
)
def test_what_is_wrong_is_named(env, suite, further, message):
    with pytest.raises(ConfigError, match=message):
        categories_of(env, suite, further)


def test_a_registered_suite_keeps_its_name():
    register_suite("for_tests", "CartPole-v1", _nothing)
    register_suite("for_tests", "CartPole-v1", _nothing)
    with pytest.raises(ConfigError, match="for_tests"):
        register_suite("for_tests", "Acrobot-v1", _nothing)


def _nothing(env):
    return {}


def test_joined_results_come_apart_again():
    calm, wild = result_of([1.0, 2.0], speed=[5.0, 6.0]), result_of([3.0], seeds=[7])
    wild = wild.model_copy(update={"env": wild.env.model_copy(update={"config": {"wind": 2}})})
    whole = join_categories({AS_TRAINED: calm, "wild": wild})
    assert whole.category == (AS_TRAINED, AS_TRAINED, "wild")
    assert whole.categories == {AS_TRAINED: {}, "wild": {"wind": 2}}
    assert whole.values("episode_return").tolist() == [1.0, 2.0, 3.0]
    assert whole.metrics["speed"] == (5.0, 6.0, None)
    assert whole.within(AS_TRAINED).model_copy(update={"metrics": calm.metrics}) == calm
    assert whole.within("wild").env.config == {"wind": 2}
    assert whole.within("wild").seeds == (7,)
    with pytest.raises(DataError, match="no category 'windy'; there are as_trained, wild"):
        whole.within("windy")


def test_the_file_has_a_summary_of_each_category(tmp_path):
    whole = join_categories({AS_TRAINED: result_of([1.0, 3.0]), "wild": result_of([8.0, 10.0])})
    stored = whole.to_json()
    assert stored["summary"]["episode_return"]["mean"] == 2.0
    assert stored["summary_by_category"]["wild"]["episode_return"]["mean"] == 9.0
    whole.save(tmp_path / "eval_results.json")
    assert load_result(tmp_path / "eval_results.json") == whole


def test_results_of_other_categories_are_not_paired():
    one = join_categories({AS_TRAINED: result_of([1.0]), "wild": result_of([2.0])})
    other = join_categories({AS_TRAINED: result_of([1.0]), "tame": result_of([2.0])})
    assert are_paired([one, one])
    assert not are_paired([one, other])


def test_an_episode_without_a_category_is_damage(tmp_path):
    whole = join_categories({AS_TRAINED: result_of([1.0]), "wild": result_of([2.0])})
    file = tmp_path / "eval_results.json"
    whole.model_copy(update={"category": (AS_TRAINED, AS_TRAINED)}).save(file)
    with pytest.raises(IntegrityError, match="category"):
        load_result(file)
