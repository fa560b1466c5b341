"""Penalties against their definitions, point by point, and the two ways to their gradients."""

import copy

import pytest
import torch
from torch import nn
from torch.autograd.function import once_differentiable

from recipes.gan.gradients import finite_difference, gradient_norms
from recipes.gan.penalties import (
    DRAGAN,
    R1,
    R2,
    GradientPenalty,
    ZeroCentered,
    refuse_batch_norm,
    refuse_dropout,
    total,
)

METHODS = ["exact", "finite_difference"]


def smooth(inputs=3, dtype=torch.float64):
    torch.manual_seed(2)
    layers = nn.Linear(inputs, 16), nn.SiLU(), nn.Linear(16, 16), nn.SiLU(), nn.Linear(16, 1)
    return nn.Sequential(*layers).to(dtype)


def examples(shift=0.0, dtype=torch.float64, shape=(6, 3)):
    generator = torch.Generator().manual_seed(4)
    return torch.randn(shape, generator=generator, dtype=dtype) + shift


def gradients(network, value):
    """By the weights, as one vector; the last bias has none."""
    found = torch.autograd.grad(value, list(network.parameters()), materialize_grads=True)
    return torch.cat([g.flatten() for g in found])


def seeded(function, *args):
    torch.manual_seed(7)
    return function(*args)


TERMS = {  # of the gradient at one point; the weight is 10
    R1: lambda g: 5 * (g * g).sum(),
    R2: lambda g: 5 * (g * g).sum(),
    GradientPenalty: lambda g: 10 * ((g * g).sum() ** 0.5 - 1) ** 2,
    ZeroCentered: lambda g: 10 * (g * g).sum(),
    DRAGAN: lambda g: 10 * ((g * g).sum() ** 0.5 - 1) ** 2,
}


@pytest.mark.parametrize("kind", TERMS)
def test_a_penalty_is_the_mean_of_its_definition(kind):
    critic, real, fake = smooth(), examples(), examples(shift=1.0)
    points = {R1: real, R2: fake}.get(kind)
    if points is None:
        points = seeded(kind().points, real, fake)
    terms = [
        TERMS[kind](
            torch.autograd.functional.jacobian(lambda x: critic(x)[0], x, create_graph=True)
        )
        for x in points
    ]
    expected = torch.stack(terms).mean()
    slope = gradients(critic, expected)
    exact, near = (seeded(total, critic, [kind()], real, fake, method) for method in METHODS)
    torch.testing.assert_close(exact, expected)
    torch.testing.assert_close(near, expected)
    torch.testing.assert_close(gradients(critic, exact), slope)
    error = (gradients(critic, near) - slope).norm() / slope.norm()
    assert 0 < error < 1e-3


def test_penalties_are_added_by_their_weights():
    critic, real, fake = smooth(), examples(), examples(shift=1.0)
    found = total(critic, [R1(0.5), R2(weight=3.0)], real, fake)
    one, other = (total(critic, [p], real, fake) for p in (R1(1.0), R2(1.0)))
    torch.testing.assert_close(found, 0.5 * one + 3 * other)


@pytest.mark.parametrize("method", METHODS)
def test_a_linear_critic_has_the_gradient_of_its_weights(method):
    """D(x) = a . x: the norm is |a|, its gradient a / |a|."""
    weights = torch.tensor([3.0, 4.0], dtype=torch.float64, requires_grad=True)
    norms = gradient_norms(lambda x: x @ weights, examples(shape=(5, 2)), method)
    torch.testing.assert_close(norms, torch.full((5,), 5.0, dtype=torch.float64))
    (slope,) = torch.autograd.grad(norms.mean(), weights)
    torch.testing.assert_close(slope, weights.detach() / 5)


@pytest.mark.parametrize("method", METHODS)
def test_a_quadratic_critic_has_the_gradient_on_paper(method):
    """D(x) = x . A x / 2, A symmetric: R1 is |A x|^2 / 2, its gradient A x x^T, no step's error."""
    matrix, points = torch.randn(3, 3, dtype=torch.float64), examples()
    matrix = (matrix + matrix.T).requires_grad_()

    def critic(x):
        return (x * (x @ (matrix + matrix.T) / 2)).sum(1, keepdim=True) / 2

    found = total(critic, [R1(1.0)], points, points, method)
    products = points @ matrix.detach()
    torch.testing.assert_close(found, products.square().sum(1).mean() / 2)
    (slope,) = torch.autograd.grad(found, matrix)
    outer = products.T @ points / len(points)
    torch.testing.assert_close(slope, (outer + outer.T) / 2, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_differences_are_near_the_exact_gradient_for_images(dtype):
    torch.manual_seed(3)
    layers = nn.Conv2d(1, 8, 4, 2, 1), nn.SiLU(), nn.Conv2d(8, 16, 4, 2, 1), nn.SiLU()
    critic = nn.Sequential(*layers, nn.Flatten(), nn.Linear(16 * 49, 1)).to(dtype)
    images = examples(dtype=dtype, shape=(8, 1, 28, 28)).tanh()
    exact, near = (gradients(critic, total(critic, [R1()], images, images, m)) for m in METHODS)
    assert (near - exact).norm() / exact.norm() < 1e-3


def test_differences_count_the_kinks_that_move():
    """D(x) = relu(x + b), x uniform on [-1, 1]: R1 is (1 + b) / 4, its derivative 1 / 4, not 0."""
    bias = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    grid = torch.linspace(-1, 1, 100001, dtype=torch.float64)[:, None]
    slopes = []
    for method in METHODS:
        found = total(lambda x: torch.relu(x + bias), [R1(1.0)], grid, grid, method)
        assert found.item() == pytest.approx(1.3 / 4, abs=1e-4)
        (slope,) = torch.autograd.grad(found, bias, materialize_grads=True)
        slopes.append(slope.item())
    assert slopes == pytest.approx([0, 0.25], abs=1e-3)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", [R1, GradientPenalty])
def test_a_gradient_of_zero_is_no_nan(kind, method):
    critic = smooth()
    nn.init.zeros_(critic[-1].weight)
    flat = torch.zeros(4, 3, dtype=torch.float64)
    for points in (examples(), flat):
        value = total(critic, [kind()], points, points, method)
        assert value.item() == (0 if kind is R1 else 10)
        assert torch.isfinite(gradients(critic, value)).all()
    assert (gradient_norms(smooth(), flat, method) > 0).all(), "points of size 0 have a step"


def test_a_root_of_squares_would_be_nan():
    """The negative control of the one above."""
    weights = torch.zeros(3, requires_grad=True)
    weights.square().sum().sqrt().backward()
    assert weights.grad.isnan().all()


class Once(torch.autograd.Function):
    """x^2 / 2, whose backward cannot be differentiated."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.square() / 2

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        return grad * ctx.saved_tensors[0]


def test_differences_need_no_second_derivative():
    weights = torch.tensor([0.5, -2.0, 1.0], dtype=torch.float64, requires_grad=True)
    points = examples()

    def slope(square, method):
        weights.grad = None
        total(lambda x: square(x * weights) @ weights, [R1()], points, points, method).backward()
        return weights.grad

    expected = slope(lambda x: x.square() / 2, "exact")
    # Of a quadratic function, so without the step's error.
    torch.testing.assert_close(slope(Once.apply, "finite_difference"), expected)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        slope(Once.apply, "exact")


@pytest.mark.parametrize("method", METHODS)
def test_autocast_is_off(method):
    critic, points = smooth(dtype=torch.float32), examples(dtype=torch.float32)
    expected = gradient_norms(critic, points, method)
    with torch.autocast("cpu", torch.bfloat16):
        assert critic(points).dtype == torch.bfloat16
        found = gradient_norms(critic, points.bfloat16().float(), method)
        rounded = gradient_norms(critic, points.bfloat16(), method)
        same = gradient_norms(critic, points, method)
    assert torch.equal(same, expected)
    assert torch.equal(gradients(critic, same.sum()), gradients(critic, expected.sum()))
    assert torch.equal(rounded, found) and rounded.dtype == torch.float32


@pytest.mark.parametrize("kind", TERMS)
def test_fakes_may_be_of_less_precision(kind):
    critic, real = smooth(dtype=torch.float32), examples(dtype=torch.float32)
    fake = real.flip(0).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        found = seeded(total, critic, [kind()], real, fake)
    assert torch.equal(found, seeded(total, critic, [kind()], real, fake.float()))


@pytest.mark.parametrize("method", METHODS)
def test_no_grad_is_touched_and_no_example_is_differentiated(method):
    critic = smooth()
    kept = [torch.full_like(p, 7.0) for p in critic.parameters()]
    for parameter, grad in zip(critic.parameters(), kept, strict=True):
        parameter.grad = grad.clone()
    made = examples().requires_grad_()
    value = total(critic, [R1(), R2(), GradientPenalty(), DRAGAN()], examples(), made * 1, method)
    for parameter, grad in zip(critic.parameters(), kept, strict=True):
        assert torch.equal(parameter.grad, grad)
    value.backward()
    assert made.grad is None
    assert not torch.equal(critic[0].weight.grad, kept[0])


def test_differences_see_one_set_of_weights_under_spectral_norm():
    """Each pass in training mode has another estimate of the norm: both ends must share a pass."""
    critic = smooth()
    for layer in critic[::2]:
        nn.utils.parametrizations.spectral_norm(layer)
    still = copy.deepcopy(critic)
    passes = []
    critic.register_forward_hook(lambda module, inputs, outputs: passes.append(len(inputs[0])))
    finite_difference(critic, examples())
    assert passes == [6, 12]
    assert not torch.equal(critic[0].weight, still[0].weight)


@pytest.mark.parametrize("kind", [GradientPenalty, ZeroCentered])
def test_interpolates_lie_on_their_own_segments(kind):
    torch.manual_seed(0)
    real, fake = torch.zeros(4000, 1, 2, 2), torch.ones(4000, 1, 2, 2)
    fake[:2000] = -3
    shares = (kind().points(real, fake) / fake).flatten(1)
    assert (shares == shares[:, :1]).all(), "one share for all values of an example"
    assert shares.min() >= 0 and shares.max() <= 1
    assert shares[:, 0].mean().item() == pytest.approx(1 / 2, abs=0.02)
    assert shares[:, 0].var().item() == pytest.approx(1 / 12, abs=0.005)


def test_dragan_looks_near_the_real_examples():
    torch.manual_seed(0)
    real = examples(dtype=torch.float32, shape=(2000, 1, 4, 4)) * 3
    points = DRAGAN().points(real, torch.full_like(real, torch.nan))
    noise = (points - real) / real.std()
    assert noise.min() > -1e-5 and 0.45 < noise.max() < 0.5
    # a u / 2, uniform both: a mean of 1 / 8; u differs from value to value, a is of the example.
    assert noise.mean().item() == pytest.approx(1 / 8, abs=0.005)
    largest = noise.flatten(1).amax(1)
    assert largest.std() > 0.1 and noise.flatten(1).std(1).mean() > 0.05


class Stock(nn.BatchNorm2d):
    """Another's batch-norm."""


@pytest.mark.parametrize("norm", [nn.BatchNorm1d, nn.SyncBatchNorm, Stock])
def test_batch_norm_is_refused(norm):
    network = nn.Sequential(nn.Linear(3, 4), nn.Sequential(nn.ReLU(), norm(4)))
    with pytest.raises(ValueError, match=rf"^--model.discriminator has {norm.__name__} \(1.1\)"):
        refuse_batch_norm(network)
    for other in (nn.GroupNorm(2, 4), nn.LayerNorm(4), nn.InstanceNorm2d(4)):
        refuse_batch_norm(nn.Sequential(nn.Linear(3, 4), other))


def test_dropout_is_refused_with_differences():
    with pytest.raises(ValueError, match=r"Dropout.*--model.penalty_method=exact"):
        refuse_dropout(nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.1)))
    refuse_dropout(nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.0)))
