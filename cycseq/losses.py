"""The training objective of section 2.6: pure functions of tensors, named after the paper's terms."""

from __future__ import annotations

from collections.abc import Callable

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

    Parameters
    ----------
    x, x_hat
        Expression and its reconstruction [sample, gene].
    variance
        Var(x): one number of the training set. Per gene, genes that hardly vary would make the loss explode.
    """
    return functional.mse_loss(x_hat, x) / variance


def label_cross_entropy(logits: Float[Tensor, "sample label"], label: Int[Tensor, " sample"]) -> Scalar:
    """L_p and L_b: cross-entropy of the true labels under the predicted logits, in nats."""
    return functional.cross_entropy(logits, label)


def kl(mu: Float[Tensor, "sample 3 latent"], log_variance: Float[Tensor, "sample 3 latent"]) -> Float[Tensor, "3"]:
    """L_KL of each latent (exp, ko, noise) against N(0, I): mean over samples AND dimensions, in nats."""
    return 0.5 * (log_variance.exp() + mu.square() - 1 - log_variance).mean(dim=(0, 2))


def gradient_penalty(
    score: Callable[[Tensor], Tensor],
    real: Float[Tensor, "sample gene"],
    fake: Float[Tensor, "sample gene"],
    mix: Float[Tensor, "sample 1"],
) -> Scalar:
    """Penalise a critic whose gradient norm between real and generated samples is not 1: E (‖∇‖ − 1)².

    Parameters
    ----------
    score
        The critic as a function of expression alone, [sample, gene] → [sample].
    real, fake
        Samples [sample, gene].
    mix
        Weight of the real sample in each interpolate, in [0, 1].
    """
    between = (mix * real + (1 - mix) * fake).detach().requires_grad_(True)
    (gradient,) = torch.autograd.grad(score(between).sum(), between, create_graph=True)
    return (gradient.norm(dim=1) - 1).square().mean()
