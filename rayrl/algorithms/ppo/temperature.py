"""The temperature at which rollouts sample: pressure cools, imbalance and stagnation heat.

receipts ─▶ mean signals of the iteration ─▶ moving averages ─▶ T ─▶ travels with the weights
returns  ─▶ change since the last iteration ─▶ pulse ───────────▲
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from rayrl.algorithms.ppo.options import TemperatureControl


class TemperatureController:
    """T = base − g_q P_q − g_l P_l + g_b (1 − balance) + pulse, within [minimum, maximum].

    While a pulse lasts, it adds ``pulse_magnitude`` × base and the upper bound is twice as high. A pulse
    begins ``pulse_interval`` iterations after the one before, or when nothing has changed for a while.

    Args:
        options: gains, targets and bounds.

    Attributes:
        current: T of the next rollout.
    """

    def __init__(self, options: TemperatureControl) -> None:
        self._options = options
        self.current = options.base
        self._state: dict[str, Any] = {
            "iterations": 0,
            "pressures": {},
            "balance": 1.0,
            "last": {},
            "changes": [],
            "since_pulse": 0,
            "pulse_left": 0,
            "pulsing": False,
        }

    @property
    def missing(self) -> list[str]:
        """What the environment should tell, by its names, and has never told."""
        told = self._state["last"]
        return [name for signal, name in self._options.signals.items() if signal not in told]

    def update(self, signals: Mapping[str, float], episode_return: float) -> None:
        """Sets T for the next iteration.

        Args:
            signals: means of this iteration, by the environment's names; one that is missing keeps what it
                last did.
            episode_return: recent mean; NaN before the first episode has ended.
        """
        options, state = self._options, self._state
        names = options.signals
        told: dict[str, float] = {signal: signals[name] for signal, name in names.items() if name in signals}
        state["iterations"] += 1
        if "queue" in told:
            self._average("queue", (told["queue"] - options.queue_target) / options.queue_target)
        if "latency" in told:
            excess = (told["latency"] - options.latency_target) / options.latency_target
            self._average("latency", max(0.0, excess))
        state["balance"] = told.get("balance", state["balance"])
        self._note_change(told, episode_return)
        self._pulse()
        pressures = state["pressures"]
        temperature = (
            options.base
            - options.queue_gain * pressures.get("queue", 0.0)
            - options.latency_gain * pressures.get("latency", 0.0)
            + options.balance_gain * (1.0 - state["balance"])
            + (options.pulse_magnitude * options.base if state["pulsing"] else 0.0)
        )
        highest = 2.0 * options.maximum if state["pulsing"] else options.maximum
        self.current = min(max(temperature, options.minimum), highest)

    def metrics(self) -> dict[str, float]:
        """What T is, and why."""
        state = self._state
        return {
            "current": self.current,
            **{f"{name}_pressure_ema": value for name, value in state["pressures"].items()},
            "balance": state["balance"],
            "is_pulsing": float(state["pulsing"]),
            "pulse_remaining": float(state["pulse_left"]),
            "stagnation_level": self._stagnation(),
        }

    def _average(self, name: str, pressure: float) -> None:
        pressures = self._state["pressures"]
        before = pressures.get(name, pressure)
        pressures[name] = before + self._options.ema_alpha * (pressure - before)

    def _note_change(self, told: Mapping[str, float], episode_return: float) -> None:
        """Keeps how much this iteration differs from the one before, for as many as the window has."""
        options, state = self._options, self._state
        now = {**told, "return": episode_return}
        before, state["last"] = state["last"], {**state["last"], **told, "return": episode_return}
        watched = ["return"] if options.stagnation_of == "return" else ["queue", "latency"]
        moves = [abs(now[name] - before[name]) for name in watched if name in now and name in before]
        change = sum(moves)
        if options.stagnation_of == "return":
            change /= max(abs(episode_return), 1e-8)
        if moves and math.isfinite(change):
            state["changes"] = [*state["changes"], change][-options.stagnation_window :]

    def _stagnation(self) -> float:
        """Share of the window's iterations that changed less than the threshold; 1 is stagnation."""
        options = self._options
        still: int = sum(change < options.stagnation_threshold for change in self._state["changes"])
        return still / options.stagnation_window

    def _pulse(self) -> None:
        """Goes on with a pulse, or begins one."""
        options, state = self._options, self._state
        state["since_pulse"] += 1
        if not state["pulse_left"] and options.pulse_magnitude:
            due = options.pulse_interval is not None and state["since_pulse"] >= options.pulse_interval
            if due or self._stagnation() == 1.0:
                state["pulse_left"], state["since_pulse"] = options.pulse_length, 0
                state["changes"] = []  # what follows is judged by itself
        state["pulsing"] = state["pulse_left"] > 0
        state["pulse_left"] = max(0, state["pulse_left"] - 1)

    def get_state(self) -> dict[str, Any]:
        """All that the next temperatures depend on, as plain values."""
        copied = {
            name: type(value)(value) if isinstance(value, dict | list) else value
            for name, value in self._state.items()
        }
        return {"current": self.current, **copied}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Takes over what ``get_state`` gave."""
        self.current = state["current"]
        self._state = {name: value for name, value in state.items() if name != "current"}
