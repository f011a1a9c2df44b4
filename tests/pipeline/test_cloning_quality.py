"""What is said of clones that are worse than they could be, and of actions that nobody took."""

from rayrl.pipeline.cloning_quality import warnings_of
from rayrl.pipeline.collect_stage import never_demonstrated
from rayrl.rollout.demo_share import never_taken


def summary(reached, ceiling, commonest=0.4, **actions):
    found = {name.lstrip("a"): {"steps": steps, "value": value} for name, (steps, value) in actions.items()}
    return {
        "val_accuracy": reached,
        "ceiling_accuracy": ceiling,
        "agreement": {"commonest": commonest, "actions": found},
    }


def test_a_good_clone_is_not_warned_of():
    assert list(warnings_of(summary(0.8, 0.85, a0=(50, 0.9), a1=(50, 0.7)))) == []


def test_no_better_than_the_commonest_action():
    (text,) = warnings_of(summary(0.41, 0.9))
    assert "agrees with 41.0% of held-out decisions, and always taking the commonest action would" in text
    assert all(field in text for field in ("pretrain.epochs", "pretrain.balance", "collect.demonstrators"))


def test_far_below_its_ceiling():
    # 0.9 · 0.8 = 0.72
    assert list(warnings_of(summary(0.73, 0.8))) == []
    (text,) = warnings_of(summary(0.71, 0.8))
    assert "and could with 80.0%: raise collect.steps" in text


def test_an_action_that_it_never_takes():
    (text,) = warnings_of(summary(0.8, 0.85, a0=(80, 1.0), a1=(20, 0.0), a2=(19, 0.0)))
    assert "never takes action 1 where it was demonstrated: set pretrain.balance: [action]" in text


def test_where_only_one_action_occurs_there_is_nothing_to_beat():
    assert list(warnings_of(summary(1.0, 1.0, commonest=1.0))) == []


def test_continuous_actions_have_no_accuracy():
    assert list(warnings_of({"val_accuracy": None, "agreement": {"all": {"steps": 9, "value": 0.1}}})) == []


def test_nothing_held_out_is_warned_of():
    nothing = {"val_accuracy": None, "val_loss": None, "agreement": {"all": {"steps": 0, "value": None}}}
    (text,) = warnings_of(nothing)
    assert text.startswith("nothing is held out, since pretrain.val_fraction of so few episodes is none")
    assert text.endswith("raise pretrain.val_fraction, or raise collect.steps")
    (text,) = warnings_of(nothing, in_replays=True)
    assert text.endswith("raise pretrain.val_fraction, or give more replays (collect.replays)")


def test_actions_that_nobody_took_are_counted_over_all():
    facts = {"a": {"actions": [3, 0, 0, 1]}, "b": {"actions": [0, 0, 5, 0]}}
    assert never_taken(facts) == [1]
    assert never_taken({"a": {"actions": None}}) == []
    assert never_taken({}) == []
    told = never_demonstrated([1, 3])
    assert told.startswith(
        "no demonstrator ever took action 1, 3: a policy cloned from these will not take it"
    )
    assert "which is fine if there is no use for it; otherwise add to collect.demonstrators one" in told
    assert "random" not in told
    told = never_demonstrated([1, 3], in_replays=True)
    assert told.startswith("no replay ever takes action 1, 3: ")
    assert "add to collect.replays" in told
