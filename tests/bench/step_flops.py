"""Matrix products that the mathematics of one optimisation step needs, product by product, and their FLOPs.

A product of [m, k] and [k, n] counts 2mkn. Everything else (activations, losses, optimiser, embeddings) counts nothing.
A linear layer [k → n] on B samples has up to three products of 2Bkn each: forward, the gradient of its weight, the
gradient of its input. Counted is what cannot be avoided:

- a translation's first layer needs no input gradient on measured samples, only on generated ones (the cycle's second half);
- the output layers of p̂ and b̂ are read from the cycle's second half alone;
- in the generators' step the critics pass gradients back to their input and get none themselves;
- in the critics' step the samples get none, and the first layer's product with the generated samples is known;
- the gradient penalty reads the first layer's products of real and generated samples and needs, at the mix of them, the
  forward products of the later layers (for the signs), the chain ∇_x = W_xᵀ D_1 W_2ᵀ D_2 … w, and that chain's two
  gradients a product. The last link is one row, w; it is counted as an outer product.
"""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import NamedTuple

from cycseq.config import ModelConfig, TrainConfig
from cycseq.model import LATENTS, Sizes

TRANSLATIONS = 4
"""Two directions, there and back."""


class Product(NamedTuple):
    """A matrix product of [rows, inner] and [inner, columns]."""

    rows: int
    inner: int
    columns: int
    kind: str
    """"forward" x·Wᵀ, "weight" dᵀ·x, or "input" d·W: which operand is transposed."""

    @property
    def flops(self) -> int:
        """Multiplications and additions."""
        return 2 * self.rows * self.inner * self.columns


Products = Counter[Product]


def linear(n_samples: int, k: int, n: int, kinds: tuple[str, ...] = ("forward", "weight", "input")) -> Products:
    """List the products of a linear layer k → n."""
    shapes = {"forward": (n_samples, k, n), "weight": (n, n_samples, k), "input": (n_samples, n, k)}
    return Counter(Product(*shapes[kind], kind) for kind in kinds)


def times(products: Products, n: int) -> Products:
    """Repeat products."""
    return Counter({product: n * count for product, count in products.items()})


def trunk(n_samples: int, model: ModelConfig) -> Products:
    """List the products between a trunk's first hidden vector and its last."""
    total: Products = Counter()
    for k, n in pairwise(model.hidden):
        total += linear(n_samples, k, n)
    last = model.hidden[-1]
    total += times(linear(n_samples, last, last), 2 * model.n_blocks)
    if model.attention == "tokens":
        total += linear(n_samples, last, 3 * last)  # QKᵀ and its product with V: 32 times less, left out
    return total


def generator_products(sizes: Sizes, config: TrainConfig, n_samples: int) -> Products:
    """List the products of the generators' step."""
    model, genes, first, last = config.model, sizes.n_genes, config.model.hidden[0], config.model.hidden[-1]
    condition = 2 * model.embedding + sizes.n_doses
    latent = len(LATENTS[model.latents]) * model.latent
    one = linear(n_samples, genes, first, ("forward", "weight")) + linear(n_samples, condition, first)
    one += times(trunk(n_samples, model), 2) + linear(n_samples, last, 2 * latent)
    one += linear(n_samples, latent + condition, first) + linear(n_samples, last, genes)
    total = times(one, TRANSLATIONS) + times(linear(n_samples, genes, first, ("input",)), 2)
    for labels in (sizes.n_perturbations, sizes.n_batches):
        total += times(linear(n_samples, last, labels), 2)
    if config.weights.adversarial:
        judged = linear(n_samples, genes, first, ("forward", "input")) + linear(
            n_samples, condition, first, ("forward",)
        )
        for k, n in (*pairwise(model.hidden), (last, 1)):
            judged += linear(n_samples, k, n, ("forward", "input"))
        total += times(judged, 2)
    return total


def critic_products(sizes: Sizes, config: TrainConfig, n_samples: int) -> Products:
    """List the products of the critics' step."""
    model, genes, first = config.model, sizes.n_genes, config.model.hidden[0]
    later = (*pairwise(model.hidden), (model.hidden[-1], 1))
    one = linear(n_samples, genes, first, ("forward",)) + times(linear(n_samples, genes, first, ("weight",)), 2)
    one += linear(n_samples, 2 * model.embedding + sizes.n_doses, first)
    for k, n in later:
        one += times(linear(n_samples, k, n), 2)
    if config.weights.gradient_penalty:
        for k, n in later[:-1]:
            one += linear(n_samples, k, n, ("forward",))  # signs at the mix
        for k, n in ((genes, first), *later):
            one += linear(n_samples, n, k)  # Wᵀv and its two gradients
    return times(one, 2)


def step_products(sizes: Sizes, config: TrainConfig, n_samples: int) -> Products:
    """List the products one optimisation step needs, with how often each is needed."""
    total = generator_products(sizes, config, n_samples)
    return total + critic_products(sizes, config, n_samples) if config.weights.adversarial else total


def step_flops(sizes: Sizes, config: TrainConfig, n_samples: int) -> int:
    """Count the FLOPs one optimisation step needs."""
    return sum(count * product.flops for product, count in step_products(sizes, config, n_samples).items())
