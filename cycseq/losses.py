"""The training objective of section 2.6: pure functions of tensors, named after the paper's terms."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from cycseq.config import Adversarial

Scalar = Float[Tensor, ""]


def adversarial_generator(fake: Float[Tensor, " sample"], kind: Adversarial) -> Scalar:
    """Loss L_G of a generator whose samples the critic scored `fake` (logits).

    "bce" is −E log D(G(x)), the non-saturating form of the paper; "lsgan" is E (score − 1)².
    """
    if kind == "bce":
        return functional.softplus(-fake).mean()
    return (fake - 1).square().mean()


def adversarial_critic(real: Float[Tensor, " sample"], fake: Float[Tensor, " sample"], kind: Adversarial) -> Scalar:
    """Loss L_D of a critic: −E log D(x) − E log(1 − D(G(x))), or with "lsgan" E (real − 1)² + E fake²."""
    if kind == "bce":
        return functional.softplus(-real).mean() + functional.softplus(fake).mean()
    return (real - 1).square().mean() + fake.square().mean()


def reconstruction(x: Float[Tensor, "sample gene"], x_hat: Float[Tensor, "sample gene"], variance: float) -> Scalar:
    """L_rec = E|x − x̂|² / Var(x), the mean over samples and genes.

    Var(x) is one number of the training set: per gene, genes that hardly vary would make the loss explode.
    """
    return functional.mse_loss(x_hat, x) / variance


def label_cross_entropy(logits: Float[Tensor, "sample label"], label: Int[Tensor, " sample"]) -> Scalar:
    """L_p and L_b: cross-entropy of the true labels under the predicted logits, in nats."""
    return functional.cross_entropy(logits, label)


def kl(
    mu: Float[Tensor, "sample kind latent"], log_variance: Float[Tensor, "sample kind latent"]
) -> Float[Tensor, " kind"]:
    """L_KL of each latent (exp, ko and noise) against N(0, I): mean over samples AND dimensions, in nats."""
    return 0.5 * (log_variance.exp() + mu.square() - 1 - log_variance).mean(dim=(0, 2))


def gradient_penalty(gradient: Float[Tensor, "sample gene"]) -> Scalar:
    """Penalise a critic whose gradient norm is not 1: E (‖∇‖ − 1)².

    The gradient is that of each sample's score by its expression, at points between real and generated samples.
    """
    return (torch.linalg.vector_norm(gradient, dim=1) - 1).square().mean()
