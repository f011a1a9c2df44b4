"""When a divergence is a spike, and what is said of it."""

import logging
import math

from rayrl.algorithms.ppo.kl_watch import KLWatch


def test_small_divergences_are_no_spikes():
    watch = KLWatch(None)
    for kl, kl_ref in ((0.01, 0.0), (0.09, 0.09), (0.02, 0.17), (0.02, 0.33)):
        watch.look(100, {"mean_kl_loss": kl, "kl_ref": kl_ref})
    assert watch.warnings == []


def test_each_kind_is_said_once_and_counted(caplog):
    watch = KLWatch(None)
    with caplog.at_level(logging.WARNING, logger="rayrl.algorithms.ppo"):
        for step, kl in ((100, 0.2), (200, 0.01), (300, 0.4), (400, math.nan)):
            watch.look(step, {"mean_kl_loss": kl})
    assert len(caplog.records) == 1
    assert "lower lr or num_epochs, or set target_kl" in caplog.text
    (text,) = watch.warnings
    assert "in 3 updates, the first at step 100, by 0.4 nats at most" in text


def test_a_target_is_the_bound_where_there_is_one():
    watch = KLWatch(0.5)
    watch.look(100, {"mean_kl_loss": 0.4})
    assert watch.warnings == []
    watch.look(200, {"mean_kl_loss": 0.6})
    assert "target_kl_action: stop_epochs" in watch.warnings[0]


def test_a_rise_from_the_reference_is_a_spike():
    watch = KLWatch(1.0)
    for step, kl_ref in ((100, 0.05), (200, 0.09), (300, 0.17), (400, 0.36)):
        watch.look(step, {"mean_kl_loss": 0.0, "kl_ref": kl_ref})
    # 0.17 is less than twice 0.09; 0.36 more than twice 0.17.
    (text,) = watch.warnings
    assert "from the reference in 1 update, the first at step 400, by 0.36 nats" in text
    assert "raise kl_ref.initial or kl_ref.decay_steps, or lower lr" in text
    other = KLWatch(1.0)
    other.set_state(watch.get_state())
    assert other.warnings == watch.warnings
    other.look(500, {"mean_kl_loss": 0.0, "kl_ref": 0.73})
    assert "in 2 updates" in other.warnings[0]
    assert "in 1 update" in watch.warnings[0]
