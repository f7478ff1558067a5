"""Layers of the networks; `Linear`, `PReLU` and `Dropout` compute what torch.nn's do, with fewer passes over memory.

At the paper's size a step is bound by matrix products only if little else touches arrays of gene size. What gains:
gradients of a weight that is used several times are added up inside the product that makes them (`Linear`); PReLU's
two gradients take no temporary for every sample (`PReLU`); four units' dropout is decided by one 64-bit random number
(`Dropout`).
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn import functional

ATTENTION_GAIN = 0.1
"""Start of the attention's gain: small, and not zero, where queries and keys would get no gradient."""
LANES = 2**16
"""Values of the 16 bits that decide whether a unit is dropped."""
Hidden = Float[Tensor, "sample hidden"]


class Linear(nn.Linear):
    """Linear layer that can add its gradients to `weight.grad` and `bias.grad` itself.

    torch makes one gradient of the weight's size for every use of the weight in a step and then adds them; here each
    is added in the product that makes it. Switched on by `collect_gradients` only, because gradient hooks (and
    `torch.autograd.grad`) see no gradient of such a weight: only `backward` serves it.
    """

    collects = False

    def forward(
        self, x: Float[Tensor, "sample input"], product: Tensor | None = None
    ) -> Float[Tensor, "sample output"]:
        """Compute Wx + bias; where gradients are collected, a `product` that is known already is returned as if made now."""
        if self._collecting():
            return _Product.apply(x, self, False, product, self.weight, self.bias)
        return functional.linear(x, self.weight, self.bias)

    def transposed(self, v: Float[Tensor, "sample output"]) -> Float[Tensor, "sample input"]:
        """Compute Wᵀv: what this layer passes back of a gradient v."""
        if self._collecting():
            return _Product.apply(v, self, True, None, self.weight, None)
        return functional.linear(v, self.weight.T)

    def _collecting(self) -> bool:
        return self.collects and self.weight.requires_grad and torch.is_grad_enabled()

    def collect(self, d: Float[Tensor, "sample output"], x: Float[Tensor, "sample input"]) -> None:
        """Add dᵀx to the weight's gradient."""
        gradient = self.weight.grad
        if gradient is None:
            self.weight.grad = (d.T @ x).to(self.weight.dtype)
        elif d.dtype == gradient.dtype:
            gradient.addmm_(d.T, x)
        else:
            gradient.add_(d.T @ x)


class _Product(Function):
    """x, layer → Wx + bias, or Wᵀx if transposed; its gradient of W goes where the layer keeps it."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        layer: Linear,
        transposed: bool,
        product: Tensor | None,
        weight: Tensor,
        bias: Tensor | None,
    ) -> Tensor:
        dtype = compute_dtype(x)
        low_x, low_weight = x.to(dtype), weight.to(dtype)
        ctx.save_for_backward(low_x, low_weight)
        ctx.layer, ctx.transposed, ctx.dtype = layer, transposed, x.dtype
        if product is not None:
            return product.view_as(product)
        if transposed:
            return low_x @ low_weight
        return functional.linear(low_x, low_weight, None if bias is None else bias.to(dtype))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        d = d.to(x.dtype)
        ctx.layer.collect(*((x, d) if ctx.transposed else (d, x)))
        d_bias = d.sum(dim=0, dtype=ctx.layer.weight.dtype) if ctx.needs_input_grad[5] else None
        d_x = (d @ (weight.T if ctx.transposed else weight)).to(ctx.dtype) if ctx.needs_input_grad[0] else None
        return d_x, None, None, None, None, d_bias


class PReLU(nn.Module):
    """max(h, 0) + a·min(h, 0), the slope a learned."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((1,), 0.25))

    def forward(self, h: Float[Tensor, "sample unit"]) -> Float[Tensor, "sample unit"]:
        """Bend every unit at 0."""
        return _PReLU.apply(h, self.weight)

    def slopes(self, h: Float[Tensor, "sample unit"]) -> Float[Tensor, "sample unit"]:
        """Derivative at h: 1 above 0, else a; differentiable in a."""
        above = torch.gt(h, 0).to(h.dtype)
        return above + self.weight.to(h.dtype) * (1 - above)


class _PReLU(Function):
    @staticmethod
    def forward(ctx: Any, h: Tensor, slope: Tensor) -> Tensor:
        ctx.save_for_backward(h, slope)
        return functional.prelu(h, slope.to(h.dtype))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d: Tensor) -> tuple[Tensor, Tensor]:
        h, slope = ctx.saved_tensors
        above = torch.ops.aten.threshold_backward(d, h, 0)  # d where h > 0, else 0
        below = d - above
        d_slope = torch.dot(below.flatten(), h.flatten()).to(slope.dtype).view(1)
        return below.mul_(slope.to(h.dtype)).add_(above), d_slope


class Dropout(nn.Module):
    """Drop units in training with a probability that is a whole number of 65,536ths; scale those kept by its inverse."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.dropped = round(rate * LANES)

    def forward(self, h: Float[Tensor, "sample unit"]) -> Float[Tensor, "sample unit"]:
        """Drop each unit on its own."""
        return h * self.mask(h) if self.training and self.dropped else h

    @torch.no_grad()
    def mask(self, h: Float[Tensor, "sample unit"]) -> Float[Tensor, "sample unit"]:
        """Draw what each unit is multiplied by: 0, or 1 / (share kept); 1 outside training."""
        if not (self.training and self.dropped):
            return torch.ones_like(h)
        kept = 1 - self.dropped / LANES
        if h.device.type != "cpu":
            return torch.empty_like(h).bernoulli_(kept).div_(kept)
        bits = torch.empty(-(-h.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
        lanes = bits.view(torch.int16)[: h.numel()].view(h.shape)  # uniform in −32,768 … 32,767
        return lanes.ge_(self.dropped - LANES // 2).to(h.dtype).div_(kept)


class TokenAttention(nn.Module):
    """Self-attention over a hidden vector read as tokens, added to it with a learned gain."""

    def __init__(self, width: int, n_tokens: int) -> None:
        super().__init__()
        self.n_tokens = n_tokens
        self.to_qkv = Linear(width, 3 * width)
        self.gain = nn.Parameter(torch.tensor(ATTENTION_GAIN))

    def forward(self, h: Hidden) -> Hidden:
        """Mix the tokens of each sample: softmax(QKᵀ/√d_k)V."""
        q, k, v = self.to_qkv(h).view(len(h), 3, self.n_tokens, -1).unbind(1)  # each [sample, token, d_k]
        mixed = functional.scaled_dot_product_attention(q, k, v)  # [sample, token, d_k]
        return h + self.gain * mixed.flatten(1)


class ResidualBlock(nn.Module):
    """PReLU(W₂ dropout(PReLU(W₁ h)) + h)."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.first, self.second = Linear(width, width), Linear(width, width)
        self.inner, self.outer = PReLU(), PReLU()
        self.dropout = Dropout(dropout)

    def forward(self, h: Hidden) -> Hidden:
        """Refine a hidden vector, its width unchanged."""
        r = self.dropout(self.inner(self.first(h)))
        return self.outer(self.second(r) + h)


class InputLayer(nn.Module):
    """W [x; e] + bias, its weight kept as two: W_x x + W_e e + bias joins nothing of gene size."""

    def __init__(self, n_genes: int, condition_width: int, n_outputs: int) -> None:
        super().__init__()
        self.expression = Linear(n_genes, n_outputs, bias=False)
        self.condition = Linear(condition_width, n_outputs)
        bound = (n_genes + condition_width) ** -0.5  # where torch starts one layer with both inputs
        for weight in self.parameters():
            nn.init.uniform_(weight, -bound, bound)

    def forward(self, x: Float[Tensor, "sample gene"], condition: Float[Tensor, "sample width"]) -> Hidden:
        """Map expression and condition to the first hidden vector, before its activation."""
        return self.expression(x) + self.condition(condition)


def collect_gradients(net: nn.Module, on: bool) -> None:
    """Switch all `Linear` layers of a network to adding up their own gradients, or back."""
    for module in net.modules():
        if isinstance(module, Linear):
            module.collects = on


def compute_dtype(x: Tensor) -> torch.dtype:
    """Precision of matrix products with x: autocast's where it is on, else that of x."""
    kind = x.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype
