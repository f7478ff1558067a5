import math

import pytest
import torch
from beartype import beartype
from beartype.roar import BeartypeCallHintParamViolation
from jaxtyping import TypeCheckError, jaxtyped

from cycseq import losses


def t(*values):
    return torch.tensor(values, dtype=torch.float64)


def test_adversarial_bce_by_hand():
    # sigmoid(0) = 1/2, sigmoid(ln 3) = 3/4
    assert losses.adversarial_generator(t(0.0, math.log(3)), "bce").item() == pytest.approx(
        -(math.log(0.5) + math.log(0.75)) / 2
    )
    assert losses.adversarial_critic(t(math.log(3)), t(0.0), "bce").item() == pytest.approx(
        -math.log(0.75) - math.log(0.5)
    )


def test_adversarial_bce_does_not_saturate_for_the_generator():
    fake = t(-50.0).requires_grad_(True)
    losses.adversarial_generator(fake, "bce").backward()
    assert fake.grad.item() == pytest.approx(-1.0)


def test_adversarial_least_squares_by_hand():
    assert losses.adversarial_generator(t(3.0, 1.0), "lsgan").item() == pytest.approx(2.0)
    assert losses.adversarial_critic(t(3.0, 1.0), t(1.0, 2.0), "lsgan").item() == pytest.approx(2.0 + 2.5)


def test_reconstruction_is_scaled_by_one_variance():
    x, x_hat = torch.zeros(1, 2), torch.tensor([[1.0, 3.0]])
    assert losses.reconstruction(x, x_hat, variance=2.0).item() == pytest.approx(2.5)


def test_label_cross_entropy_by_hand():
    logits = torch.log(t(0.7, 0.2, 0.1))[None]
    assert losses.label_cross_entropy(logits, torch.tensor([1])).item() == pytest.approx(-math.log(0.2))


def test_label_cross_entropy_is_not_content_with_constant_logits():
    """With its arguments swapped, as published, constant logits would be optimal."""
    label = torch.tensor([0, 1, 2])
    right = losses.label_cross_entropy(10 * torch.eye(3), label)
    constant = losses.label_cross_entropy(torch.ones(3, 3), label)
    assert right.item() < 0.01 < constant.item() == pytest.approx(math.log(3))


def test_kl_by_hand_is_a_mean_over_samples_and_dimensions_for_each_latent():
    mu, log_variance = torch.zeros(2, 3, 4), torch.zeros(2, 3, 4)
    mu[:, 1] = 2.0  # 1/2 μ² = 2
    log_variance[0, 2] = math.log(2)  # 1/2 (2 − 1 − ln 2) for one of two samples
    assert losses.kl(mu, log_variance).tolist() == pytest.approx([0.0, 2.0, (1 - math.log(2)) / 4])


def test_gradient_penalty_by_hand():
    gradient = torch.stack([t(3.0, 4.0), t(0.0, 1.0)])  # norms 5 and 1
    assert losses.gradient_penalty(gradient).item() == pytest.approx(8.0)


def test_gradients_agree_with_finite_differences():
    torch.manual_seed(0)
    a, b = torch.randn(3, 4).double().requires_grad_(True), torch.randn(3, 4).double().requires_grad_(True)
    mu, lv = torch.randn(2, 3, 2).double().requires_grad_(True), torch.randn(2, 3, 2).double().requires_grad_(True)
    real, fake = (torch.randn(5).double().requires_grad_(True) for _ in range(2))
    assert torch.autograd.gradcheck(losses.gradient_penalty, (a,))
    label = torch.tensor([0, 3, 1])
    assert torch.autograd.gradcheck(lambda x, y: losses.reconstruction(x, y, 1.7), (a, b))
    assert torch.autograd.gradcheck(losses.kl, (mu, lv))
    assert torch.autograd.gradcheck(lambda x: losses.label_cross_entropy(x, label), (a,))
    for kind in ("bce", "lsgan"):
        assert torch.autograd.gradcheck(lambda r, f, k=kind: losses.adversarial_critic(r, f, k), (real, fake))
        assert torch.autograd.gradcheck(lambda f, k=kind: losses.adversarial_generator(f, k), (fake,))


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (losses.kl, (torch.zeros(2, 2, 4), torch.zeros(2, 3, 4))),
        (losses.reconstruction, (torch.zeros(2, 3), torch.zeros(2, 4), 1.0)),
        (losses.label_cross_entropy, (torch.zeros(2, 3), torch.zeros(3, dtype=torch.int64))),
    ],
)
def test_shapes_are_checked(function, arguments):
    with pytest.raises((TypeCheckError, BeartypeCallHintParamViolation)):
        jaxtyped(typechecker=beartype)(function)(*arguments)
