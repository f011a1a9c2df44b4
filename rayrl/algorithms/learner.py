"""ColumnarLearner: RLlib's TorchLearner whose update works on whole columns.

    trajectories ─► columns on the device ─► prepare (once) ─► shuffle ─► minibatch ─► loss ─► backward
                                                                 ▲                                │
                                                                 └── optimizer ◄─ clip ◄─ reduce ◄┘

Per minibatch there is one slice per column, one forward and backward pass, one message between learners, one
check for finite numbers and one optimizer step, and nothing that waits for the device. Metrics are read once
per update.
"""

from __future__ import annotations

import contextlib
import time
from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from ray.rllib.core import COMPONENT_OPTIMIZER, DEFAULT_MODULE_ID
from ray.rllib.core.learner.torch.torch_learner import TorchLearner
from ray.rllib.core.learner.training_data import TrainingData
from ray.rllib.utils import force_list
from ray.rllib.utils.metrics import (
    ALL_MODULES,
    NUM_ENV_STEPS_TRAINED,
    NUM_ENV_STEPS_TRAINED_LIFETIME,
    NUM_MODULE_STEPS_TRAINED,
    NUM_MODULE_STEPS_TRAINED_LIFETIME,
    NUM_TRAINABLE_PARAMETERS,
    WEIGHTS_SEQ_NO,
)
from torch import Tensor

from rayrl.algorithms.collective import copy_from_first, rank, sum_over_learners, time_limit
from rayrl.algorithms.device_columns import on_device
from rayrl.algorithms.faults import check_losses
from rayrl.algorithms.gpu_usage import gpu_usage
from rayrl.algorithms.gradients import FlatGradient, LossScale
from rayrl.algorithms.sequence_table import SequenceTable
from rayrl.algorithms.shuffling import Shuffled, ShuffledRows, ShuffledSequences
from rayrl.config.seeding import Role, generator
from rayrl.errors import TrainingError
from rayrl.experience.ragged import Column
from rayrl.models.observed import Observed
from rayrl.models.policy_module import PolicyModule
from rayrl.models.sequences import Sequences
from rayrl.models.weights import LoadReport, load_weights

TRAINING = "training"
"""Key of the learner's own part of its state."""

Columns = dict[str, Tensor]

_AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


class ColumnarLearner(TorchLearner):
    """Base of rayrl's learners: everything but what to prepare and what to minimize.

    Subclasses name their per-row statistics in ``statistics`` and implement ``learn`` and ``loss``.

    Attributes:
        fault_folder: where a batch is kept that cannot be learned from; None for nowhere.
    """

    fault_folder: Path | None = None
    statistics: Sequence[str] = ()
    """Names of what ``loss`` reports, in its order; reported as means over the rows of the last epoch."""

    def build(self) -> None:
        """Builds module and optimizer; all learners start from the first one's weights."""
        super().build()
        self.policy: PolicyModule = self.module[DEFAULT_MODULE_ID]
        copy_from_first(self.policy.state_dict().values())
        self._optimizer = self.get_optimizer(DEFAULT_MODULE_ID)
        self._gradient = FlatGradient(self._optimizer_parameters_in_order())
        self._loss_scale = LossScale(self._device) if self.config.precision == "fp16" else None
        self._updates = 0
        if self.config.precision == "tf32":
            torch.set_float32_matmul_precision("high")

    def _make_modules_ddp_if_necessary(self) -> None:
        # Gradients are summed by one message per step (FlatGradient), with weights that make the sum the
        # global mean whatever the learners' shares; a DDP wrapper would average what is not equal.
        pass

    def configure_optimizers_for_module(self, module_id: str, config: Any = None) -> None:
        """Registers Adam or AdamW, in PyTorch's fused form."""
        kinds = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
        parameters = self.get_parameters(self.module[module_id])
        self.register_optimizer(
            module_id=module_id,
            optimizer=kinds[config.optimizer_type](parameters, fused=True, **config.optimizer_options),
            params=parameters,
            lr_or_lr_schedule=config.lr,
        )

    def _log_trainable_parameters(self) -> None:
        # Logged with every update instead, since a value that is logged once is NaN from then on.
        pass

    def get_parameters(self, module: PolicyModule) -> list[torch.nn.Parameter]:
        """The parameters to train."""
        return [parameter for parameter in module.parameters() if parameter.requires_grad]

    def _optimizer_parameters_in_order(self) -> list[torch.nn.Parameter]:
        return [p for group in self._optimizer.param_groups for p in group["params"]]

    def update(
        self,
        *,
        training_data: TrainingData | None = None,
        timesteps: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Learns from some trajectories.

        Args:
            training_data: what the subclass learns from.
            timesteps: counters that schedules go by, with RLlib's keys.
            kwargs: RLlib's further arguments, which have no meaning here.

        Returns:
            The reduced metrics.
        """
        started = time.perf_counter()
        self.before_gradient_based_update(timesteps=timesteps or {})
        with time_limit(self.config.learner_timeout_s):
            rows, results = self.learn(training_data)
        self._weights_seq_no += 1
        self._updates += 1
        return self.log_update(rows, results | {"seconds": time.perf_counter() - started}, timesteps or {})

    def log_update(
        self, rows: int, results: Mapping[str, float], timesteps: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Logs what an update gave, and gives the metrics, reduced."""
        self.metrics.log_dict(
            {
                **results,
                **gpu_usage(self._device),
                NUM_TRAINABLE_PARAMETERS: self._gradient.flat.numel(),
                WEIGHTS_SEQ_NO: self._weights_seq_no,
            },
            key=DEFAULT_MODULE_ID,
            window=1,
        )
        self._log_steps_trained(rows)
        self.after_gradient_based_update(timesteps=timesteps)
        reduced: dict[str, Any] = self.metrics.reduce()
        return reduced

    def _log_steps_trained(self, rows: int) -> None:
        """Logs the rows by RLlib's names, to be added up over learners and over the trial's life."""
        for module, steps, lifetime in (
            (DEFAULT_MODULE_ID, NUM_MODULE_STEPS_TRAINED, NUM_MODULE_STEPS_TRAINED_LIFETIME),
            (ALL_MODULES, NUM_ENV_STEPS_TRAINED, NUM_ENV_STEPS_TRAINED_LIFETIME),
        ):
            self.metrics.log_value((module, steps), rows, reduce="sum")
            self.metrics.log_value((module, lifetime), rows, reduce="lifetime_sum")

    @abstractmethod
    def learn(self, training_data: TrainingData | None) -> tuple[int, dict[str, float]]:
        """One update.

        Raises:
            TrainingError: the data are not of the kind that the learner takes.

        Returns:
            How many of this learner's rows were learned from, and the numbers to report.
        """

    @abstractmethod
    def loss(self, minibatch: Columns) -> tuple[Tensor, Tensor]:
        """The loss of some rows.

        Args:
            minibatch: the prepared columns' rows; ``sequences_of`` says how they form sequences.

        Returns:
            The sum of the rows' losses, and ``(len(statistics),)`` sums of the rows' statistics.
        """

    def compute_loss_for_module(self, **kwargs: Any) -> Tensor:
        """RLlib's loss over its own batches, which are never built here.

        Raises:
            TrainingError: always.
        """
        raise TrainingError(
            "columnar learners have no per-module loss",
            remedy="call update(training_data=...)",
        )

    def run_epochs(
        self,
        columns: Columns,
        num_epochs: int,
        minibatch_size: int | None,
        sequences: SequenceTable | None = None,
        once: Columns | None = None,
    ) -> dict[str, float]:
        """Minimizes the loss over some epochs of shuffled minibatches.

        Args:
            columns: ``(rows, ...)`` tensors; each learner has its own rows.
            num_epochs: passes over the rows.
            minibatch_size: rows of a minibatch per learner, about; None for all at once.
            sequences: what the rows form, and is not to be torn apart; None where rows stand for themselves.
            once: ``(trajectories, ...)`` what minibatches have for each row, by the column ``TRAJECTORY``.

        Returns:
            Means of the statistics over all learners' rows of the last epoch, the mean gradient norm, the
            number of optimizer steps, and how many were left out because the gradient was not finite.

        Raises:
            TrainingError: a statistic is not finite.
        """
        shuffled = self.shuffled(columns, minibatch_size, sequences, once)
        numbers = generator(self.config.seed, Role.learner, rank(), self._updates)
        sums = torch.zeros(len(self.statistics), device=self._device)
        norms = torch.zeros((), device=self._device)
        skipped = torch.zeros((), device=self._device)
        epochs = 0
        while epochs < num_epochs:
            sums.zero_()
            for minibatch, total in shuffled.epoch(self.order(shuffled.units, numbers)):
                statistics, norm, found_inf = self._step(minibatch, total)
                sums += statistics
                norms += norm
                skipped += found_inf
            epochs += 1
            if self.end_epoch(sums, shuffled.rows):
                break
        sum_over_learners(sums)
        steps = epochs * shuffled.steps
        values = torch.cat([sums / shuffled.rows, torch.stack([norms / steps, skipped])]).tolist()
        means = dict(zip(self.statistics, values, strict=False))
        self.check_losses(means, columns | (once or {}))
        return {
            **means,
            "gradient_norm": values[-2],
            "gradient_steps": float(steps),
            "gradient_steps_skipped": values[-1],
        }

    def check_losses(self, statistics: Mapping[str, float], columns: Columns) -> None:
        """Refuses an update whose numbers are not all finite, and keeps what it learned from.

        Raises:
            TrainingError: one of them is not.
        """
        check_losses(statistics, columns, self.fault_folder, name=f"update_{self._updates}_learner_{rank()}")

    def shuffled(
        self,
        columns: Columns,
        minibatch_size: int | None,
        sequences: SequenceTable | None,
        once: Columns | None = None,
    ) -> Shuffled:
        """The minibatches of columns, as ``run_epochs`` takes both."""
        if sequences is None:
            return ShuffledRows(columns, minibatch_size, once)
        return ShuffledSequences(columns, sequences, self._remembered, minibatch_size, once)

    def cut_sequences(
        self, offsets: NDArray[np.int64], states: Tensor, after: Tensor | None = None
    ) -> SequenceTable | None:
        """The sequences of some trajectories, as ``SequenceTable.cut`` takes them; None where the policy
        remembers nothing, and takes rows as they come.
        """
        network = self.policy.network
        if not network.state_size:
            return None
        length, burn_in = network.config.max_seq_len, network.config.burn_in
        return SequenceTable.cut(offsets, states, length=length, burn_in=burn_in, after=after)

    def _remembered(self, columns: Columns, sequences: Sequences) -> Tensor:
        with self.autocast():
            return self.policy.network.states(columns, sequences)

    def end_epoch(self, sums: Tensor, rows: int) -> bool:
        """Whether the update ends with this epoch; all learners must give the same answer.

        Args:
            sums: ``(len(statistics),)`` sums over this learner's rows of the epoch.
            rows: rows of all learners.
        """
        return False

    def order(self, rows: int, numbers: np.random.Generator) -> NDArray[np.int64]:
        """``(rows,)`` the order in which an epoch takes the rows, or sequences where it takes those."""
        return numbers.permutation(rows)

    def _step(self, minibatch: Columns, total: int) -> tuple[Tensor, Tensor, Tensor]:
        """One optimizer step; gives the statistics' sums, the gradient's norm, and 1.0 if it was left out."""
        config = self.config
        self._gradient.zero()
        with self.autocast():
            loss, statistics = self.loss(minibatch)
        # With the rows of all learners below, the sum of their gradients is that of the global mean.
        loss = loss / total
        if self._loss_scale is not None:
            loss = loss * self._loss_scale.scale
        loss.backward()  # type: ignore[no-untyped-call]
        self._gradient.reduce()
        if self._loss_scale is not None:
            self._gradient.flat.div_(self._loss_scale.scale)
        by_value = config.grad_clip_by == "value"
        norm, found_inf = self._gradient.clip(
            None if by_value else config.grad_clip, config.grad_clip if by_value else None
        )
        if self._loss_scale is not None:
            self._loss_scale.update(found_inf)
        # Fused optimizers read this and leave the step out on the device, as a gradient scaler has them do.
        self._optimizer.found_inf = found_inf
        self._optimizer.step()
        return statistics, torch.where(found_inf > 0, 0.0, norm), found_inf

    def autocast(self) -> contextlib.AbstractContextManager[Any]:
        """The context in which losses are computed in the configured precision."""
        dtype = _AUTOCAST.get(self.config.precision)
        return contextlib.nullcontext() if dtype is None else torch.autocast(self._device.type, dtype)

    def to_device(self, column: Column) -> Tensor:
        """A column as a tensor of the learner's own; see ``on_device``."""
        return on_device(column, self._device)

    def start_from(self, state: Mapping[str, NDArray[Any]], *, where: str) -> LoadReport:
        """Takes over the weights of a policy, its normalizer included, before the first update.

        Args:
            state: the network's weights by name.
            where: what to name in an error.

        Raises:
            PolicyError: they are not of the network's form; nothing is changed then.
        """
        return load_weights(self.policy.network, state, where=where)

    def update_normalizer(self, observed: Observed) -> None:
        """Takes the observations of an update, of all learners, into the policy's normalizer."""
        normalizer = self.policy.normalizer
        if normalizer.enabled:
            parts = observed.of(normalizer.names)
            normalizer.update_from_moments(sum_over_learners(normalizer.moments(parts)))

    def get_state(
        self,
        components: str | Collection[str] | None = None,
        *,
        not_components: str | Collection[str] | None = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """RLlib's state, completed by what the next update depends on."""
        if not self.config.save_optimizer_state:
            not_components = [*force_list(not_components), COMPONENT_OPTIMIZER]
        state: dict[str, Any] = super().get_state(components, not_components=not_components, **kwargs)
        if self._check_component(TRAINING, components, not_components):
            state[TRAINING] = self.get_training_state()
        return state

    def set_state(self, state: dict[str, Any]) -> None:
        """Takes over a state, older or newer than what this learner is at."""
        # RLlib keeps its weights where the state's are older, as when a trial goes back to a checkpoint.
        self._weights_seq_no = 0
        super().set_state(state)
        self._weights_seq_no = state.get(WEIGHTS_SEQ_NO, 0)
        if TRAINING in state:
            self.set_training_state(state[TRAINING])

    def get_training_state(self) -> dict[str, Any]:
        """Counters, and the loss scale where there is one; subclasses add their coefficients."""
        state: dict[str, Any] = {"updates": self._updates}
        if self._loss_scale is not None:
            state["loss_scale"] = self._loss_scale.get_state()
        return state

    def set_training_state(self, state: dict[str, Any]) -> None:
        """Takes over what ``get_training_state`` gave."""
        self._updates = state["updates"]
        if self._loss_scale is not None and "loss_scale" in state:
            self._loss_scale.set_state(state["loss_scale"])
