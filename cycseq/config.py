"""Settings of CycSeq: frozen records with the paper's values as defaults, and the named presets."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, field, replace
from types import MappingProxyType
from typing import Annotated, Any, Literal, TypeVar, dataclass_transform

from annotated_types import Ge, Gt, Le, Len, Lt
from pydantic import ConfigDict, InstanceOf, StrictBool, StrictFloat, StrictInt, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as checked_dataclass

from cycseq.errors import ConfigError, UnknownPreset

Latents = Literal["three", "one"]
Output = Literal["prelu", "linear"]
Adversarial = Literal["bce", "lsgan"]
Precision = Literal["auto", "float32", "bfloat16"]

Number = StrictInt | StrictFloat
Weight = Annotated[Number, Ge(0)]
Positive = Annotated[Number, Gt(0)]
Share = Annotated[Number, Ge(0), Lt(1)]
Count = Annotated[StrictInt, Ge(1)]
CountOrZero = Annotated[StrictInt, Ge(0)]
Settings = TypeVar("Settings")


@dataclass_transform(frozen_default=True)
def settings(cls: type[Settings]) -> type[Settings]:
    """Make a frozen dataclass whose fields are checked by pydantic; its errors become `ConfigError`."""
    made: Any = checked_dataclass(frozen=True, config=ConfigDict(extra="forbid"))(cls)
    check: Callable[..., None] = made.__init__

    @functools.wraps(check)
    def checked_init(self: Any, *args: Any, **kwargs: Any) -> None:
        try:
            check(self, *args, **kwargs)
        except ValidationError as error:
            raise config_error(type(self), error) from error

    made.__init__ = checked_init
    return made


def config_error(cls: type, error: ValidationError) -> ConfigError:
    """Name the setting, what was given and what was expected."""
    last = error.errors()[-1]
    expected = last["msg"].replace("Input should be", "expected").removeprefix("Value error, ").rstrip(".")
    place = [dataclasses.fields(cls)[part].name if isinstance(part, int) else part for part in last["loc"][:1]]
    place += [part for part in last["loc"][1:] if isinstance(part, str) and part not in ("int", "float")]
    given = f" is {last['input']!r}" if place else ""
    return ConfigError(f"{'.'.join([cls.__name__, *place])}{given}: {expected}.")


@settings
class ModelConfig:
    """Shape of the networks; the same for both generators, and for the critics as far as it applies."""

    hidden: Annotated[tuple[Count, ...], Len(1)] = (1024, 512, 256)
    """Widths of the linear layers. Source: paper, Hyperparameters (1,024, 512, 256; the fourth, 128, is `latent`)."""
    latent: Count = 128
    """D, dimensions of each of z_exp, z_ko, z_noise. Source: paper, Hyperparameters."""
    latents: Latents = "three"
    """"three": z_exp, z_ko and z_noise (paper 2.5); "one": a single latent of D dimensions, for the ablation. The losses
    treat the three alike, so that one latent of 3D dimensions would differ from them in the weight of the KL only."""
    embedding: Count = 32
    """H, dimensions of e_p and of e_b. Source: published code; the paper gives no number."""
    n_blocks: CountOrZero = 2
    """L, residual blocks of encoder and decoder. Source: published code; the paper gives no number."""
    dropout: Share = 0.2
    """Share of hidden units dropped in training. Source: published code; the paper gives no number."""
    attention: Literal["tokens", "none"] = "tokens"
    """"tokens": self-attention over `n_tokens` pieces of the hidden vector; "none": left out, which is what the
    published code computes, since a softmax over one token is constant."""
    n_tokens: Count = 16
    """Tokens the last hidden vector is read as; must divide its width."""
    output: Output = "prelu"
    """Activation of the predicted expression: "prelu" (paper 2.5) requires input >= 0; "linear" is for z-scores."""
    skip: StrictBool = False
    """Add the input expression to the output before its activation, so that the decoder learns the change. Not in the
    paper."""
    start: Literal["mean", "default"] = "mean"
    """Where the output layer starts. "mean": an untrained network predicts the mean profile of the target state, or with
    `skip` the input unchanged; "default": torch's random start. The paper does not say."""
    blend: Literal["none", "additive"] = "none"
    """"additive": predict (1 − α) · estimate + α · network, where the estimate is the input plus the additive change of
    `additive_effects.estimate`, and α in [0, 1], one for each direction, is chosen on the validation cells after pre-training
    (`folds.decide`). "none" is the paper's: the network alone."""
    perturbation_scale: Positive = 1.0
    """Standard deviation of the perturbation embeddings at the start; 1 is the usual start of embedding tables."""
    batch_scale: Positive = 1.0
    """Standard deviation of the batch embeddings at the start. Well below `perturbation_scale`, what a perturbation
    does in all batches is learned before what it seems to do in one, most of which is the noise of its cells."""

    def __post_init__(self) -> None:
        if self.attention != "none" and self.hidden[-1] % self.n_tokens:
            raise ConfigError(f"n_tokens is {self.n_tokens}; expected a divisor of the last width, {self.hidden[-1]}.")


@settings
class LossWeights:
    """Weights λ of the loss terms; all 1 in the paper (Hyperparameters: λ = 1)."""

    adversarial: Weight = 1.0
    """Adversarial loss of the generators (weight 1 in equation 1); 0 trains without critics."""
    cycle: Weight = 1.0
    """λ_rec: expression after the cycle, scaled by Var(x)."""
    perturbation: Weight = 1.0
    """λ_p: cross-entropy of the perturbation label after the cycle."""
    batch: Weight = 1.0
    """λ_b: cross-entropy of the batch label after the cycle."""
    kl: Weight = 1.0
    """λ_KL: mean over samples and dimensions, summed over the three latents and both generators."""
    paired: Weight = 0.0
    """Squared error of each translation against the other side of its pseudo-pair, scaled by Var(x). Not in the
    paper, whose losses ignore the pairing."""
    gradient_penalty: Weight = 0.0
    """Penalty on the critics' gradient norm. In the published code (10), not in the paper (0)."""


@settings
class Stage:
    """One stage of training; the same loop runs every stage."""

    name: str
    """Name in the history: "pretrain" or "finetune"."""
    epochs: CountOrZero
    """Most epochs to train; 0 leaves the stage out."""
    batch_size: Count
    """Pseudo-pairs a step."""
    learning_rate: Positive
    """Learning rate at the start, of generators and critics."""
    optimizer: Literal["adam", "rmsprop"]
    """"adam" or "rmsprop"."""
    patience: Count
    """Epochs without a better validation error before training stops."""
    betas: tuple[Share, Share] = (0.5, 0.9)
    """Adam's β₁, β₂. Source: paper, Hyperparameters."""
    least_steps: Count = 1
    """Fewest steps an epoch: with few pairs an epoch goes over them as often as it takes. 1 is once, the paper's."""


PRETRAIN = Stage("pretrain", epochs=100, batch_size=512, learning_rate=2e-4, optimizer="adam", patience=30)
"""Source: paper, Hyperparameters."""
FINETUNE = Stage("finetune", epochs=30, batch_size=64, learning_rate=1e-5, optimizer="rmsprop", patience=10)
"""Source: paper, Hyperparameters."""


@settings
class TrainConfig:
    """All settings of one CycSeq model; the defaults are the paper's."""

    model: InstanceOf[ModelConfig] = field(default_factory=ModelConfig)
    """Shape of the networks."""
    weights: InstanceOf[LossWeights] = field(default_factory=LossWeights)
    """Weights of the losses."""
    adversarial: Adversarial = "bce"
    """"bce": cross-entropy on logits, non-saturating (paper 2.6); "lsgan": least squares (published code)."""
    unit: Literal["draw", "cell"] = "draw"
    """"draw": a sample is the mean of `cells_per_draw` cells (paper 2.2); "cell": a sample is one cell."""
    cells_per_draw: Count = 50
    """c_s, cells averaged into one draw. Source: paper 2.2."""
    draws_per_condition: Count = 50
    """N_R, draws of each (context, perturbation, batch). Source: paper 2.2."""
    validation_share: Annotated[Number, Gt(0), Lt(1)] = 0.2
    """Share of each condition's cells kept from the training draws and used for early stopping. The paper holds out
    one of the N_R draws of the same cells instead, which leaks."""
    validation: Literal["cells", "conditions"] = "cells"
    """What is kept from training for validation: "cells", a share of every condition's cells, or "conditions", whole
    (context, perturbation) pairs whose perturbation is trained in another context, with a share of the controls: the case
    of conditions never measured. Pre-training only; where no pair can be spared, cells."""
    folds: Count = 1
    """With validation="conditions": how many times, at most, the networks are trained with other conditions held out. 1
    trains once and keeps the best weights. More trains once per fold, which sets the number of epochs (mean best epoch)
    and the blend's shares (over the held-out conditions of all folds), then once with every condition for that number of
    epochs. Not in the paper."""
    pretrain: InstanceOf[Stage] = PRETRAIN
    """Stage 1, all contexts."""
    finetune: InstanceOf[Stage] = FINETUNE
    """Stage 2, one context."""
    decay: Annotated[Number, Gt(0), Le(1)] = 0.9
    """Factor on the learning rate after every tenth of a stage's epochs. Source: paper, Hyperparameters."""
    max_gradient_norm: Positive = 1.0
    """Gradient norm of each network pair is clipped here. Source: published code."""
    precision: Precision = "auto"
    """Precision of the matrix products in training; weights, gradients' sums and losses are float32 in any case. "auto":
    bfloat16 on CUDA, whose matrix units are several times faster in it, float32 elsewhere: many CPUs have no such units
    and are slower in bfloat16. Not in the paper."""

    @property
    def pretraining_epochs(self) -> int:
        """Most epochs of pre-training, all folds together."""
        return self.pretrain.epochs * (self.folds + 1 if self.folds > 1 else 1)

    def __post_init__(self) -> None:
        if self.folds > 1 and self.validation != "conditions":
            raise ConfigError(f"folds is {self.folds}; expected 1, or more with validation='conditions'.")


def to_json(config: TrainConfig) -> str:
    """Write a configuration as JSON."""
    return json.dumps(asdict(config))


def from_json(text: str) -> TrainConfig:
    """Read a configuration written by `to_json`; raises `ConfigError` for anything else, or a setting out of its range."""
    try:
        return TypeAdapter(TrainConfig).validate_json(text)
    except ValidationError as error:
        raise ConfigError(f"The configuration cannot be read: {config_error(TrainConfig, error)}") from error


PAPER = TrainConfig()
_REDUCED = ModelConfig(hidden=(256, 128, 64), latent=32)
PAPER_QUICK = replace(
    PAPER,
    model=_REDUCED,
    draws_per_condition=8,
    pretrain=replace(PRETRAIN, epochs=8, batch_size=64, least_steps=10, patience=6),
    finetune=replace(FINETUNE, epochs=4, patience=2),
)
"""The paper's recipe, narrower and shorter, in smaller batches: 512 would make one step an epoch of a few hundred pairs.
40 steps an epoch, or a learning rate of 1e-3, raise its error on simulated screens; the full size, whose fine-tuning is long,
lowers it (README.md)."""
PLUS = TrainConfig(
    model=replace(_REDUCED, skip=True, blend="additive", perturbation_scale=10.0, batch_scale=0.1),
    weights=LossWeights(adversarial=0.1, cycle=1.0, perturbation=0.01, batch=0.01, kl=0.01, paired=10.0),
    validation="conditions",
    folds=5,
    pretrain=replace(PRETRAIN, epochs=40, batch_size=64, learning_rate=5e-4, patience=10),
    finetune=replace(FINETUNE, epochs=0),
    draws_per_condition=20,
)
"""Trains where the paper's weights collapse: predicts the change, uses the pairing, holds out whole conditions, and is
blended with the additive estimate. Weights, scales and the learning rate were chosen on simulated screens by the validation
error. Without `skip` the error is lower, because the output loses the input's sampling noise, but its change is then
mostly that noise. The widths are those of lower error over held-out conditions (README.md). It has no fine-tuning stage: a
context's own conditions lower the error of those, not of conditions never measured."""
PLUS_QUICK = replace(
    PLUS,
    draws_per_condition=PAPER_QUICK.draws_per_condition,
    folds=3,
    pretrain=replace(PLUS.pretrain, epochs=8, least_steps=10, patience=4),
)
"""Plus with fewer draws, epochs and folds."""


def _ablations(base: TrainConfig) -> dict[str, TrainConfig]:
    """Leave one part of a recipe out at a time; those that leave out a stage are the recipe itself here."""
    weights = base.weights
    return {
        "no_cycle": replace(base, weights=replace(weights, cycle=0.0, perturbation=0.0, batch=0.0)),
        "no_adversarial": replace(base, weights=replace(weights, adversarial=0.0)),
        "no_kl": replace(base, weights=replace(weights, kl=0.0)),
        "no_attention": replace(base, model=replace(base.model, attention="none")),
        "one_latent": replace(base, model=replace(base.model, latents="one")),
        "random_start": replace(base, model=replace(base.model, start="default")),
        "no_pretraining": replace(base, finetune=replace(base.pretrain, name="finetune", least_steps=4)),
        "no_finetuning": base,
    }


PRESETS: Mapping[str, TrainConfig] = MappingProxyType(
    {
        "paper": PAPER,
        "published_code": TrainConfig(
            weights=LossWeights(cycle=10.0, kl=0.01, perturbation=0.1, batch=0.1, gradient_penalty=10.0),
            adversarial="lsgan",
        ),
        "plus": PLUS,
        "paper_quick": PAPER_QUICK,
        "plus_quick": PLUS_QUICK,
    }
    | {f"paper_quick_{name}": config for name, config in _ablations(PAPER_QUICK).items()}
)


def preset(name: str) -> TrainConfig:
    """Find a preset by name, else raise `UnknownPreset`; change single settings with `dataclasses.replace`."""
    if name not in PRESETS:
        raise UnknownPreset(str(name), PRESETS)
    return replace(PRESETS[name])
