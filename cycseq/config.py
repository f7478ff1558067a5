"""Settings of CycSeq: frozen records with the paper's values as defaults, and the named presets."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from types import MappingProxyType
from typing import Literal, get_args

from cycseq.arguments import check_number, check_whole
from cycseq.errors import ConfigError, UnknownPreset

Attention = Literal["tokens", "none"]
Latents = Literal["three", "one"]
Output = Literal["prelu", "linear"]
Start = Literal["mean", "default"]
Adversarial = Literal["bce", "lsgan"]
Unit = Literal["draw", "cell"]
Blend = Literal["none", "additive"]
Validation = Literal["cells", "conditions"]
OptimizerName = Literal["adam", "rmsprop"]
Precision = Literal["auto", "float32", "bfloat16"]


def _check(condition: bool, name: str, given: object, expected: str) -> None:
    if not condition:
        raise ConfigError(f"{name} is {given!r}; expected {expected}.")


@dataclass(frozen=True)
class ModelConfig:
    """Shape of the networks; the same for both generators, and for the critics as far as it applies."""

    hidden: tuple[int, ...] = (1024, 512, 256)
    """Widths of the linear layers. Source: paper, Hyperparameters (1,024, 512, 256; the fourth, 128, is `latent`)."""
    latent: int = 128
    """D, dimensions of each of z_exp, z_ko, z_noise. Source: paper, Hyperparameters."""
    latents: Latents = "three"
    """"three": z_exp, z_ko and z_noise (paper 2.5); "one": a single latent of D dimensions, for the ablation. The losses
    treat the three alike, so that one latent of 3D dimensions would differ from them in the weight of the KL only."""
    embedding: int = 32
    """H, dimensions of e_p and of e_b. Source: published code; the paper gives no number."""
    n_blocks: int = 2
    """L, residual blocks of encoder and decoder. Source: published code; the paper gives no number."""
    dropout: float = 0.2
    """Share of hidden units dropped in training. Source: published code; the paper gives no number."""
    attention: Attention = "tokens"
    """"tokens": self-attention over `n_tokens` pieces of the hidden vector; "none": left out, which is what the
    published code computes, since a softmax over one token is constant."""
    n_tokens: int = 16
    """Tokens the last hidden vector is read as; must divide its width."""
    output: Output = "prelu"
    """Activation of the predicted expression: "prelu" (paper 2.5) wants input >= 0; "linear" is for z-scores."""
    skip: bool = False
    """Add the input expression to the output before its activation, so that the decoder learns the change. Not in the
    paper."""
    start: Start = "mean"
    """Where the output layer starts. "mean": an untrained network predicts the mean profile of the target state, or with
    `skip` the input unchanged; "default": torch's random start. The paper does not say."""
    blend: Blend = "none"
    """"additive": predict (1 − α) · estimate + α · network, where the estimate is the input plus the additive change of
    `effects.estimate`, and α in [0, 1], one for each direction, is chosen on the validation cells after pre-training
    (`blend.decide`). "none" is the paper's: the network alone."""
    perturbation_scale: float = 1.0
    """Standard deviation of the perturbation embeddings at the start; 1 is the usual start of embedding tables."""
    batch_scale: float = 1.0
    """Standard deviation of the batch embeddings at the start. Well below `perturbation_scale`, what a perturbation
    does in all batches is learned before what it seems to do in one, most of which is the noise of its cells."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "hidden", tuple(self.hidden))
        _check(bool(self.hidden), "ModelConfig.hidden", self.hidden, "at least one width")
        for name, given, least in (
            *(("hidden", width, 1) for width in self.hidden),
            ("latent", self.latent, 1),
            ("embedding", self.embedding, 1),
            ("n_blocks", self.n_blocks, 0),
            ("n_tokens", self.n_tokens, 1),
        ):
            check_whole(f"ModelConfig.{name}", given, least)
        for name in ("dropout", "perturbation_scale", "batch_scale"):
            check_number(f"ModelConfig.{name}", getattr(self, name))
        _check(self.latents in get_args(Latents), "ModelConfig.latents", self.latents, "'three' or 'one'")
        _check(0 <= self.dropout < 1, "ModelConfig.dropout", self.dropout, "a share in [0, 1)")
        _check(self.attention in get_args(Attention), "ModelConfig.attention", self.attention, "'tokens' or 'none'")
        _check(self.output in get_args(Output), "ModelConfig.output", self.output, "'prelu' or 'linear'")
        _check(self.start in get_args(Start), "ModelConfig.start", self.start, "'mean' or 'default'")
        _check(self.blend in get_args(Blend), "ModelConfig.blend", self.blend, "'none' or 'additive'")
        _check(
            self.perturbation_scale > 0, "ModelConfig.perturbation_scale", self.perturbation_scale, "a positive number"
        )
        _check(self.batch_scale > 0, "ModelConfig.batch_scale", self.batch_scale, "a positive number")
        _check(
            self.attention == "none" or self.hidden[-1] % self.n_tokens == 0,
            "ModelConfig.n_tokens",
            self.n_tokens,
            f"a divisor of the last hidden width, {self.hidden[-1]}",
        )


@dataclass(frozen=True)
class LossWeights:
    """Weights λ of the loss terms; all 1 in the paper (Hyperparameters: λ = 1)."""

    adversarial: float = 1.0
    """Adversarial loss of the generators (weight 1 in equation 1); 0 trains without critics."""
    cycle: float = 1.0
    """λ_rec: expression after the cycle, scaled by Var(x)."""
    perturbation: float = 1.0
    """λ_p: cross-entropy of the perturbation label after the cycle."""
    batch: float = 1.0
    """λ_b: cross-entropy of the batch label after the cycle."""
    kl: float = 1.0
    """λ_KL: mean over samples and dimensions, summed over the three latents and both generators."""
    paired: float = 0.0
    """Squared error of each translation against the other side of its pseudo-pair, scaled by Var(x). Not in the
    paper, whose losses ignore the pairing."""
    gradient_penalty: float = 0.0
    """Penalty on the critics' gradient norm. In the published code (10), not in the paper (0)."""

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            check_number(f"LossWeights.{item.name}", value)
            _check(value >= 0, f"LossWeights.{item.name}", value, "a weight of at least 0")


@dataclass(frozen=True)
class Stage:
    """One stage of training; the same loop runs every stage."""

    name: str
    """Name in the history: "pretrain" or "finetune"."""
    epochs: int
    """Most epochs to train; 0 leaves the stage out."""
    batch_size: int
    """Pseudo-pairs a step."""
    learning_rate: float
    """Learning rate at the start, of generators and critics."""
    optimizer: OptimizerName
    """"adam" or "rmsprop"."""
    patience: int
    """Epochs without a better validation error before training stops."""
    betas: tuple[float, float] = (0.5, 0.9)
    """Adam's β₁, β₂. Source: paper, Hyperparameters."""
    least_steps: int = 1
    """Fewest steps an epoch: with few pairs an epoch goes over them as often as it takes. 1 is once, the paper's."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "betas", tuple(self.betas))
        for name, least in (("epochs", 0), ("least_steps", 1), ("batch_size", 1), ("patience", 1)):
            check_whole(f"Stage.{name}", getattr(self, name), least)
        check_number("Stage.learning_rate", self.learning_rate)
        _check(
            len(self.betas) == 2 and all(0 <= beta < 1 for beta in self.betas),
            "Stage.betas",
            self.betas,
            "two numbers in [0, 1)",
        )
        _check(self.learning_rate > 0, "Stage.learning_rate", self.learning_rate, "a positive number")
        _check(self.optimizer in get_args(OptimizerName), "Stage.optimizer", self.optimizer, "'adam' or 'rmsprop'")


PRETRAIN = Stage("pretrain", epochs=100, batch_size=512, learning_rate=2e-4, optimizer="adam", patience=30)
"""Source: paper, Hyperparameters."""
FINETUNE = Stage("finetune", epochs=30, batch_size=64, learning_rate=1e-5, optimizer="rmsprop", patience=10)
"""Source: paper, Hyperparameters."""


@dataclass(frozen=True)
class TrainConfig:
    """All settings of one CycSeq model; the defaults are the paper's."""

    model: ModelConfig = field(default_factory=ModelConfig)
    """Shape of the networks."""
    weights: LossWeights = field(default_factory=LossWeights)
    """Weights of the losses."""
    adversarial: Adversarial = "bce"
    """"bce": cross-entropy on logits, non-saturating (paper 2.6); "lsgan": least squares (published code)."""
    unit: Unit = "draw"
    """"draw": a sample is the mean of `cells_per_draw` cells (paper 2.2); "cell": a sample is one cell."""
    cells_per_draw: int = 50
    """c_s, cells averaged into one draw. Source: paper 2.2."""
    draws_per_condition: int = 50
    """N_R, draws of each (context, perturbation, batch). Source: paper 2.2."""
    validation_share: float = 0.2
    """Share of each condition's cells kept from the training draws and used for early stopping. The paper holds out
    one of the N_R draws of the same cells instead, which leaks."""
    validation: Validation = "cells"
    """What is kept from training for validation: "cells", a share of every condition's cells, or "conditions", whole
    (context, perturbation) pairs whose perturbation is trained in another context, with a share of the controls: this
    asks for what is asked of conditions never measured. Pre-training only; where no pair can be spared, cells."""
    folds: int = 1
    """With validation="conditions": how many times, at most, the networks are trained with other conditions held out. 1
    trains once and keeps the best weights. More trains once a fold, which tells the number of epochs (mean best epoch)
    and the blend's shares (over the held-out conditions of all folds), then once with every condition for that number of
    epochs. Not in the paper."""
    pretrain: Stage = PRETRAIN
    """Stage 1, all contexts."""
    finetune: Stage = FINETUNE
    """Stage 2, one context."""
    decay: float = 0.9
    """Factor on the learning rate after every tenth of a stage's epochs. Source: paper, Hyperparameters."""
    max_gradient_norm: float = 1.0
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
        for name, kind in (("model", ModelConfig), ("weights", LossWeights), ("pretrain", Stage), ("finetune", Stage)):
            given = getattr(self, name)
            _check(isinstance(given, kind), f"TrainConfig.{name}", given, f"a {kind.__name__}")
        for name in ("cells_per_draw", "draws_per_condition", "folds"):
            check_whole(f"TrainConfig.{name}", getattr(self, name), 1)
        for name in ("validation_share", "decay", "max_gradient_norm"):
            check_number(f"TrainConfig.{name}", getattr(self, name))
        _check(
            self.adversarial in get_args(Adversarial), "TrainConfig.adversarial", self.adversarial, "'bce' or 'lsgan'"
        )
        _check(self.unit in get_args(Unit), "TrainConfig.unit", self.unit, "'draw' or 'cell'")
        _check(
            self.validation in get_args(Validation),
            "TrainConfig.validation",
            self.validation,
            "'cells' or 'conditions'",
        )
        _check(
            self.folds == 1 or self.validation == "conditions",
            "TrainConfig.folds",
            self.folds,
            "1, or more with validation='conditions'",
        )
        _check(
            0 < self.validation_share < 1,
            "TrainConfig.validation_share",
            self.validation_share,
            "a share in (0, 1): early stopping needs validation cells",
        )
        _check(0 < self.decay <= 1, "TrainConfig.decay", self.decay, "a factor in (0, 1]")
        _check(
            self.precision in get_args(Precision),
            "TrainConfig.precision",
            self.precision,
            "'auto', 'float32' or 'bfloat16'",
        )
        _check(self.max_gradient_norm > 0, "TrainConfig.max_gradient_norm", self.max_gradient_norm, "a positive number")


def to_json(config: TrainConfig) -> str:
    """Write a configuration as JSON."""
    return json.dumps(asdict(config))


def from_json(text: str) -> TrainConfig:
    """Read a configuration written by `to_json`; the same checks run as when it was made.

    Raises
    ------
    ConfigError
        Not JSON, not settings of this package, or a setting out of its range.
    """
    nested = {"model": ModelConfig, "weights": LossWeights, "pretrain": Stage, "finetune": Stage}
    try:
        values = json.loads(text)
        return TrainConfig(
            **{name: nested[name](**given) if name in nested else given for name, given in values.items()}
        )
    except (json.JSONDecodeError, AttributeError, TypeError) as error:
        raise ConfigError(
            f"The configuration cannot be read ({error}); expected JSON as cycseq.config.to_json writes it."
        ) from error


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
blended with the additive estimate. Weights and scales were chosen on simulated screens by the validation error; the
learning rate too, of 5e-4, 1e-3 and 2e-3. Without `skip` the error is lower, because the output loses the input's sampling
noise, but its change is then mostly that noise. The networks are narrower than the paper's: on the training cells of a
screen with few conditions the paper's widths had the higher error over six folds of held-out conditions (0.0074 against
0.0067). It has no fine-tuning stage: a context's own conditions lower the error of those, not of conditions never
measured."""
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
    """Find a preset by name; change single settings with `dataclasses.replace`.

    Raises
    ------
    UnknownPreset
        No preset has this name.
    """
    if name not in PRESETS:
        raise UnknownPreset(str(name), PRESETS)
    return replace(PRESETS[name])
