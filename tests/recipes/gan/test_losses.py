"""Each game's losses against their formulas and gradients by hand, and what each is blind to."""

import math
from typing import get_args

import pytest
import torch

from recipes.gan.losses import LOSSES, RELATIVISTIC, Name

REAL = [1.3, -0.4, 0.2, 2.5, -3.0]
FAKE = [-0.7, 0.9, 1.6, -2.2, 0.1]


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def log(x):
    return math.log(sigmoid(x))


def mean(values):
    values = list(values)
    return sum(values) / len(values)


def slow_discriminator(name, real, fake):
    """The loss, and its derivatives by each real and each fake output, in float64."""
    n = len(real)
    pairs = list(zip(real, fake, strict=True))
    if name in ("minimax", "non_saturating"):
        value = -mean(map(log, real)) - mean(math.log(1 - sigmoid(f)) for f in fake)
        return value, [(sigmoid(r) - 1) / n for r in real], [sigmoid(f) / n for f in fake]
    if name == "least_squares":
        value = mean((r - 1) ** 2 for r in real) / 2 + mean(f**2 for f in fake) / 2
        return value, [(r - 1) / n for r in real], [f / n for f in fake]
    if name == "wasserstein":
        return mean(fake) - mean(real), [-1 / n] * n, [1 / n] * n
    if name == "hinge":
        value = -mean(min(0, r - 1) for r in real) - mean(min(0, -f - 1) for f in fake)
        return value, [-(r < 1) / n for r in real], [(f > -1) / n for f in fake]
    if name == "relativistic_paired":
        value = -mean(log(r - f) for r, f in pairs)
        slopes = [sigmoid(f - r) / n for r, f in pairs]
        return value, [-s for s in slopes], slopes
    centre_real, centre_fake = mean(real), mean(fake)
    value = -mean(log(r - centre_fake) for r in real)
    value -= mean(math.log(1 - sigmoid(f - centre_real)) for f in fake)
    surprise_real = [sigmoid(centre_fake - r) for r in real]
    surprise_fake = [sigmoid(f - centre_real) for f in fake]
    by_real = [-(s + mean(surprise_fake)) / n for s in surprise_real]
    return value, by_real, [(s + mean(surprise_real)) / n for s in surprise_fake]


def slow_generator(name, real, fake):
    """The loss, and its derivatives by each fake output."""
    n = len(fake)
    if name == "minimax":
        value = mean(math.log(1 - sigmoid(f)) for f in fake)
        return value, [-sigmoid(f) / n for f in fake]
    if name == "non_saturating":
        return -mean(map(log, fake)), [(sigmoid(f) - 1) / n for f in fake]
    if name == "least_squares":
        return mean((f - 1) ** 2 for f in fake) / 2, [(f - 1) / n for f in fake]
    if name in ("wasserstein", "hinge"):
        return -mean(fake), [-1 / n] * n
    value, by_first, _ = slow_discriminator(name, fake, real)  # the roles exchanged
    return value, by_first


def outputs(values, column=False):
    tensor = torch.tensor(values, dtype=torch.float32)
    return (tensor[:, None] if column else tensor).requires_grad_()


@pytest.mark.parametrize("column", [False, True])
@pytest.mark.parametrize("name", LOSSES)
def test_a_game_is_its_formulas_and_their_gradients(name, column):
    real, fake = outputs(REAL, column), outputs(FAKE, column)
    value, by_real, by_fake = slow_discriminator(name, REAL, FAKE)
    loss = LOSSES[name].discriminator(real, fake)
    loss.backward()
    assert loss.shape == () and loss.item() == pytest.approx(value, rel=1e-6)
    assert real.grad.flatten().tolist() == pytest.approx(by_real, rel=1e-5, abs=1e-7)
    assert fake.grad.flatten().tolist() == pytest.approx(by_fake, rel=1e-5, abs=1e-7)

    fake = outputs(FAKE, column)
    loss = LOSSES[name].generator(real.detach() if name in RELATIVISTIC else None, fake)
    loss.backward()
    value, by_fake = slow_generator(name, REAL, FAKE)
    assert loss.shape == () and loss.item() == pytest.approx(value, rel=1e-6)
    assert fake.grad.flatten().tolist() == pytest.approx(by_fake, rel=1e-5, abs=1e-7)


def test_the_names_are_those_of_the_table():
    assert set(LOSSES) == set(get_args(Name)) and set(LOSSES) > RELATIVISTIC


@pytest.mark.parametrize("name", LOSSES)
def test_the_generator_raises_what_the_discriminator_lowers(name):
    """Signs, which are easily confused: no generator may learn to be found out."""
    real, fake = outputs(REAL), outputs([-0.7, 0.3, -1.0, -2.2, 0.1])
    LOSSES[name].generator(real.detach(), fake).backward()
    assert (fake.grad < 0).all()
    fake.grad = None
    real = outputs([0.9, -0.4, 0.2, 0.5, -3.0])
    LOSSES[name].discriminator(real, fake).backward()
    inside = fake > -1 if name == "hinge" else fake.abs() > 0
    raised = fake.grad[inside].sign() if name != "least_squares" else fake.grad * fake.sign()
    assert (raised > 0).all() and (real.grad < 0).all()


@pytest.mark.parametrize("name", ["minimax", "non_saturating", *sorted(RELATIVISTIC)])
@pytest.mark.parametrize("size", [80.0, -80.0])
def test_large_outputs_are_linear_or_zero(name, size):
    """-log sigmoid(-80) is 80, where sigmoid itself is 0 in float32."""
    real, fake = outputs([size] * 2), outputs([-size] * 2)
    loss = LOSSES[name].discriminator(real, fake)
    loss.backward()
    # Of both terms, or of the difference of both outputs.
    factor = {"relativistic_paired": 2, "relativistic_average": 4}.get(name, 2)
    assert loss.item() == pytest.approx(factor * 80 if size < 0 else 0, abs=1e-6)
    assert torch.isfinite(real.grad).all() and torch.isfinite(fake.grad).all()
    fake = outputs([-size] * 2)
    loss = LOSSES[name].generator(real.detach(), fake)
    loss.backward()
    found_out = {"minimax": 0, "non_saturating": 80, "relativistic_paired": 160}.get(name, 320)
    fooled = -80 if name == "minimax" else 0
    assert loss.item() == pytest.approx(found_out if size > 0 else fooled, abs=1e-6)
    steep = {"minimax": size < 0, "relativistic_average": 2 * (size > 0)}.get(name, size > 0)
    assert fake.grad.tolist() == pytest.approx([-steep / 2] * 2, abs=1e-6)


@pytest.mark.parametrize("name", LOSSES)
def test_only_differences_count_where_outputs_are_compared(name):
    real, fake = torch.tensor(REAL), torch.tensor(FAKE)
    game = LOSSES[name].discriminator
    compares = name in ("wasserstein", *RELATIVISTIC)
    assert torch.allclose(game(real + 5, fake + 5), game(real, fake), atol=1e-5) is compares


def test_hinge_is_flat_beyond_its_margins():
    real, fake = outputs([1.1, 30.0, 0.9]), outputs([-1.1, -30.0, -0.9])
    loss = LOSSES["hinge"].discriminator(real, fake)
    loss.backward()
    assert loss.item() == pytest.approx(0.2 / 3)
    assert real.grad.tolist() == pytest.approx([0, 0, -1 / 3])
    assert fake.grad.tolist() == pytest.approx([0, 0, 1 / 3])


def test_pairs_are_pairs_and_averages_are_not():
    real, fake = torch.tensor(REAL), torch.tensor(FAKE)
    paired, average = (
        LOSSES[f"relativistic_{kind}"].discriminator for kind in ("paired", "average")
    )
    assert average(real, fake.flip(0)).item() == pytest.approx(average(real, fake).item())
    assert abs(paired(real, fake.flip(0)) - paired(real, fake)) > 0.01
