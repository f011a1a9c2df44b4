"""Options of the pretrain stage."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from rayrl.config import Config, InputPath

Balance = Literal["demonstrator", "action"]
LRSchedule = Literal["constant", "linear", "cosine"]


class PretrainOptions(Config):
    """How a policy is pretrained on demonstrations.

    With the defaults this is plain behaviour cloning (Pomerleau 1989); schedule, smoothing, noise and weights
    are each off until asked for.
    """

    method: Literal["bc"] = "bc"
    """Behaviour cloning."""
    epochs: PositiveInt = 10
    """Passes over the training split, at most."""
    batch_size: PositiveInt = 256
    """Steps in a minibatch."""
    lr: PositiveFloat = 1e-3
    """Learning rate; with a schedule, the highest."""
    lr_schedule: LRSchedule = "constant"
    """How the learning rate goes from `lr` to `lr_final` over all gradient steps: not at all, in a line, or
    along half a cosine (Loshchilov and Hutter 2017, arXiv:1608.03983)."""
    lr_final: NonNegativeFloat = 0.0
    """Learning rate of the last gradient step, where there is a schedule."""
    warmup_steps: NonNegativeInt = 0
    """Gradient steps over which the learning rate first rises to `lr` (Goyal et al. 2017,
    arXiv:1706.02677)."""
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the target that is spread over all allowed actions (Szegedy et al. 2016, arXiv:1512.00567);
    Discrete actions only."""
    input_noise: NonNegativeFloat = 0.0
    """Standard deviation of Gaussian noise on observations, in units of the normalized observation (Bishop
    1995, doi:10.1162/neco.1995.7.1.108)."""
    balance: tuple[Balance, ...] = ()
    """What is to weigh the same, however often it was demonstrated: each `demonstrator`, each `action`, or
    with both named each action of each demonstrator. A step weighs N / (S · count) where S groups have N
    steps."""
    return_weight: NonNegativeFloat = 0.0
    """β of exp(β z), what a step weighs, where z is how many standard deviations its discounted return lies
    above the mean; at most 20, before weights are scaled to a mean of 1 (Peng et al. 2019, arXiv:1910.00177,
    with the mean in place of a value network). 0 imitates good and bad steps alike."""
    return_gamma: Annotated[float, Field(gt=0, lt=1)] = 0.95
    """Discount of these returns."""
    val_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """Share of the episodes that are held out: measured on, and not learned from."""
    early_stop_patience: PositiveInt | None = None
    """Epochs without a lower held-out loss after which to end; null for never."""
    from_: InputPath | None = Field(default=None, alias="from")
    """A policy folder, or a file of PyTorch tensors by name, whose weights cloning starts from; null for
    fresh ones."""
    architecture: str | None = None
    """The registered architecture of the weights, where `from` is a file of tensors; a policy folder knows
    its own."""
    load: tuple[str, ...] = ()
    """Patterns (`encoder.*`) of the tensors to load from `from`, all of which must fit; empty loads
    everything, and refuses what does not fit as a whole."""
    skip_bc: bool = False
    """Takes the policy of `from` as it is, without cloning and demonstrations."""
    force_warmstart: bool = False
    """Lets `rayrl run` pretrain and train again from the warm start in a run that did so before; what was
    there is set aside. It is done once, and not kept in the run's experiment."""

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        if self.from_ is None:
            for name in ("architecture", "load", "skip_bc"):
                if getattr(self, name):
                    raise ValueError(f"{name} is about the weights of from, which is not given")
        if len(set(self.balance)) < len(self.balance):
            raise ValueError(f"balance = {list(self.balance)} names something twice")
        if self.lr_final > self.lr:
            raise ValueError(f"lr_final = {self.lr_final} is more than lr = {self.lr}")
        if self.lr_final and self.lr_schedule == "constant":
            raise ValueError(f"lr_final = {self.lr_final} has no effect with lr_schedule: constant")
        return self
