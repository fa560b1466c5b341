"""Diffusion by definition: the process, its loss at the optimum, samplers, guidance, labels."""

import math
import weakref
from functools import partial

import pytest
import torch
from torch import nn

from datamodules.loading.missing import MISSING
from marks import some
from recipes.diffusion import Diffusion
from recipes.diffusion.checks import note_extrapolation
from recipes.diffusion.networks import ResidualMLP, UNet, waves
from recipes.diffusion.process import (
    DDPM,
    Estimate,
    RectifiedFlow,
    cosine_betas,
    cumulated,
    linear_betas,
)
from recipes.diffusion.samplers import DDIM, Ancestral, Euler, Heun
from recipes.parts.noise import EVALUATION, Noise, normals

CPU = torch.device("cpu")
PREDICTIONS = ["epsilon", "x0", "v"]
PATHS = [*(DDPM(kind, "cosine", 50) for kind in PREDICTIONS), RectifiedFlow()]
NAMES = [*PREDICTIONS, "flow"]


def seeded(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).double()


def noise(rows=8, epoch=0, seed=0, dtype=torch.float32):
    rows = torch.arange(rows) if isinstance(rows, int) else rows
    return Noise(rows, epoch, seed, CPU, dtype)


def few(path, batch=7):
    """Times that a network is trained at, both ends among them."""
    share = torch.linspace(0, 1 - 2**-24, batch)
    return path.times(share).clamp(min=1e-3)


# The process.


def test_the_schedules_are_the_papers():
    linear = linear_betas(1000)
    assert linear[0] == pytest.approx(1e-4) and linear[-1] == pytest.approx(0.02)
    assert cumulated(linear)[-1] == pytest.approx(4.036e-5, rel=1e-3), "Ho et al.'s code"
    cosine = cumulated(cosine_betas(1000))
    for t in (0, 1, 500, 990):
        f = [math.cos((s / 1000 + 0.008) / 1.008 * math.pi / 2) ** 2 for s in (t, 0)]
        assert cosine[t] == pytest.approx(f[0] / f[1], rel=1e-9)
    assert cosine_betas(1000).max() == 0.999
    for steps in (2, 10, 100):
        for betas in (linear_betas(steps), cosine_betas(steps)):
            assert betas.shape == (steps,) and 0 < betas.min() and betas.max() <= 0.999
    assert cumulated(linear_betas(100))[-1] < 1e-4, "as little is left of an example"


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_the_closed_form_is_single_steps_one_after_the_other(schedule):
    """q(x_t | x_0) is N(sqrt(abar_t) x_0, 1 - abar_t)."""
    path = DDPM("epsilon", schedule, 1000)
    betas = {"linear": linear_betas, "cosine": cosine_betas}[schedule](1000)
    mean, variance = torch.ones(()).double(), torch.zeros(()).double()
    for t, beta in enumerate(betas, start=1):
        mean, variance = (1 - beta).sqrt() * mean, (1 - beta) * variance + beta
        signal, scale = path.coefficients(torch.tensor([t / 1000]))
        torch.testing.assert_close(signal[0], mean)
        torch.testing.assert_close(scale[0].square(), variance)


def test_noise_that_is_added_step_by_step_has_the_closed_form_s_moments():
    path, x0 = DDPM("epsilon", "cosine", 20), 3.0
    x = torch.full((100_000,), x0).double()
    for t, beta in enumerate(cosine_betas(20), start=1):
        x = (1 - beta).sqrt() * x + beta.sqrt() * seeded(100_000, seed=t)
        signal, scale = (each[0] for each in path.coefficients(torch.tensor([t / 20])))
        assert x.mean() == pytest.approx(float(signal * x0), abs=0.02)
        assert x.std() == pytest.approx(float(scale), abs=0.01)


def test_times_are_all_steps_alike():
    path = DDPM(steps=10)
    found = (path.times((torch.arange(1000) + 0.5) / 1000) * 10).round().int()
    assert found.bincount().tolist() == [0, *[100] * 10], "1 to T, and never 0"
    assert path.times(torch.tensor([0.0, 1 - 2**-24])).tolist() == pytest.approx([0.1, 1.0])
    share = torch.tensor([0.0, 0.3])
    assert RectifiedFlow().times(share).equal(share)


@pytest.mark.parametrize("path", PATHS, ids=NAMES)
def test_a_prediction_and_a_noisy_example_give_both_parts(path):
    times = few(path)
    parts = Estimate(seeded(7, 3), seeded(7, 3, seed=1))
    x_t = path.noisy(parts, times)
    found = path.parts(path.target(parts, times), x_t, times)
    for one, other in zip(found, parts, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-6)
    again = path.recomposed(parts.x0, x_t, times)
    torch.testing.assert_close(again.noise, parts.noise, rtol=1e-6, atol=1e-6)


def test_the_predictions_tell_the_same():
    """Each converted to the others, of one x_t: what one says of an example, all say."""
    paths, times = PATHS[:3], few(PATHS[0])
    parts = Estimate(seeded(7, 3), seeded(7, 3, seed=1))
    x_t, wrong = paths[0].noisy(parts, times), seeded(7, 3, seed=2)
    for path in paths:
        said = path.parts(wrong, x_t, times)
        for other in paths:
            found = other.parts(other.target(said, times), x_t, times)
            torch.testing.assert_close(found.x0, said.x0, rtol=1e-6, atol=1e-6)
            torch.testing.assert_close(found.noise, said.noise, rtol=1e-6, atol=1e-6)


def test_v_and_the_flow_s_velocity_are_the_papers():
    parts, times = Estimate(seeded(2, 3), seeded(2, 3, seed=1)), torch.tensor([0.2, 0.8])
    signal, scale = (each.unsqueeze(1) for each in PATHS[2].coefficients(times))
    expected = signal * parts.noise - scale * parts.x0  # Salimans & Ho 2022, appendix D
    torch.testing.assert_close(PATHS[2].target(parts, times), expected)
    flow, step = RectifiedFlow(), 2**-10
    ahead = flow.noisy(parts, times + step) - flow.noisy(parts, times)
    torch.testing.assert_close(flow.target(parts, times), ahead / step, rtol=1e-4, atol=1e-4)


def test_random_numbers_and_times_do_not_depend_on_torch_s_default_type():
    """A run in bfloat16 sets it within a step, but not while a callback draws samples."""

    def found():
        rows = noise(2000)
        uniform = rows.uniform(20, (4,))
        return uniform, rows.normal((4,), 21), RectifiedFlow().grid(7), waves(uniform[:, 0], 8)

    expected = found()
    torch.set_default_dtype(torch.bfloat16)
    try:
        for one, other in zip(found(), expected, strict=True):
            assert one.dtype == torch.float32 and one.equal(other)
    finally:
        torch.set_default_dtype(torch.float32)
    assert expected[0].max() < 1 and expected[1].isfinite().all()


# The loss at its optimum, of normal data: x_0 ~ N(MEAN, STD^2).

MEAN, STD = 1.5, 0.6


class Optimal(nn.Module):
    """The best predictor of normal data, E[target | x_t]."""

    def __init__(self, path, factor=1.0):
        super().__init__()
        self.path, self.factor = path, factor

    def forward(self, x_t, times):
        signal, scale = (each.unsqueeze(1).to(x_t.dtype) for each in self.path.coefficients(times))
        variance = signal**2 * STD**2 + scale**2
        x0 = MEAN + signal * STD**2 / variance * (x_t - signal * MEAN)
        parts = Estimate(x0, scale / variance * (x_t - signal * MEAN))
        return self.factor * self.path.target(parts, times)


def least(path, times):
    """The loss that no network is below, a mean over times: the target's variance given x_t."""
    signal, scale = path.coefficients(times)
    variance = signal**2 * STD**2 + scale**2
    found = {
        "epsilon": (signal * STD) ** 2 / variance,
        "x0": (scale * STD) ** 2 / variance,
        "v": STD**2 / variance,
        "flow": STD**2 / variance,  # (signal + scale)^2 = 1
    }
    return found[getattr(path, "prediction", "flow")].mean().item()


def model(network, path, sampler=None, **options):
    made = Diffusion(network, path, sampler, **options)
    made.shape = (2,)
    return made.eval()


@pytest.mark.parametrize("path", PATHS, ids=NAMES)
def test_the_loss_at_the_optimum_is_the_target_s_variance_given_x_t(path):
    rows = 200_000
    inputs = (MEAN + STD * seeded(rows, 2, seed=5)).float()
    every = torch.arange(1, 51) / 50 if isinstance(path, DDPM) else torch.linspace(0, 1, 10_001)
    expected = least(path, every)

    def loss(factor):
        return model(Optimal(path, factor), path).losses(inputs, None, noise(rows)).mean().item()

    assert loss(1.0) == pytest.approx(expected, rel=0.01)
    for factor in (0.9, 1.1):
        assert loss(factor) > 1.005 * expected, "anything else is worse"


# Samplers.


def wavy(path):
    """Some network's parts of x_t, of no particular distribution."""

    def denoise(x, times):
        output = torch.sin(2 * x) + times.to(x).view(-1, 1)
        return path.parts(output, x, times)

    return denoise


def run(sampler, path, denoise, start=None, draws=100):
    start = seeded(16, 2, seed=100) if start is None else start
    *_, last = sampler.states(denoise, start, path, lambda n: seeded(*start.shape, seed=n + draws))
    return last


@pytest.mark.parametrize("kind", PREDICTIONS)
def test_ddim_of_all_steps_and_eta_1_is_ddpm_with_the_posterior_variance(kind):
    path = DDPM(kind, "linear", 50)
    one = run(DDIM(50, 1.0), path, wavy(path))
    other = run(Ancestral("posterior"), path, wavy(path))
    torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-8)
    for different in (DDIM(50, 0.5), DDIM(50, 0.0), DDIM(25, 1.0), Ancestral("beta")):
        assert (run(different, path, wavy(path)) - other).abs().max() > 0.1


@pytest.mark.parametrize("variance", ["posterior", "beta"])
def test_ancestral_sampling_is_algorithm_2(variance):
    """Ho et al. 2020: x = (x - b / sqrt(1 - abar) e) / sqrt(1 - b) + sigma z."""
    path, betas = DDPM("epsilon", "linear", 50), linear_betas(50)
    abar, x = cumulated(betas), seeded(16, 2, seed=100)
    for n, t in enumerate(range(50, 0, -1)):
        beta = betas[t - 1]
        epsilon = torch.sin(2 * x) + t / 50
        x = (x - beta / (1 - abar[t]).sqrt() * epsilon) / (1 - beta).sqrt()
        posterior = (1 - abar[t - 1]) / (1 - abar[t]) * beta
        if t > 1:
            sigma = {"posterior": posterior, "beta": beta}[variance].sqrt()
            x = x + sigma * seeded(16, 2, seed=n + 100)
    found = run(Ancestral(variance), path, wavy(path))
    torch.testing.assert_close(found, x, rtol=1e-6, atol=1e-6)  # t / 50 is float32 there


@pytest.mark.parametrize("eta", [0.0, 0.5])
def test_ddim_is_equation_12(eta):
    """Song et al. 2021, with sigma of equation 16, in ten of fifty steps."""
    path, abar, x = DDPM(steps=50), cumulated(linear_betas(50)), seeded(16, 2, seed=100)
    for n, t in enumerate(range(50, 0, -5)):
        now, later = abar[t], abar[t - 5]
        epsilon = torch.sin(2 * x) + t / 50
        sigma = eta * ((1 - later) / (1 - now)).sqrt() * (1 - now / later).sqrt()
        x0 = (x - (1 - now).sqrt() * epsilon) / now.sqrt()
        x = later.sqrt() * x0 + (1 - later - sigma**2).sqrt() * epsilon
        x = x + sigma * seeded(16, 2, seed=n + 100)
    found = run(DDIM(10, eta), path, wavy(path))
    torch.testing.assert_close(found, x, rtol=1e-6, atol=1e-6)


def optimal(path):
    made = model(Optimal(path), path)
    return partial(lambda x, times: path.parts(made.network(x, times), x, times))


@pytest.mark.parametrize("path", some(PATHS[:3], 1), ids=PREDICTIONS)
def test_samples_of_normal_data_are_normal(path):
    start = seeded(50_000, 2, seed=9)
    for sampler in (Ancestral(), DDIM(50, 1.0), DDIM(50, 0.0)):
        found = run(sampler, path, optimal(path), start, draws=200)
        assert found.mean() == pytest.approx(MEAN, abs=0.02), type(sampler).__name__
        assert found.std() == pytest.approx(STD, abs=0.04), type(sampler).__name__


@pytest.mark.parametrize(("sampler", "order"), [(Euler, 1), (Heun, 2)])
def test_solvers_approach_the_exact_flow_by_their_order(sampler, order):
    """Of normal data it is affine: noise of each z ends at MEAN + STD z."""
    path, start = RectifiedFlow(), seeded(64, 2)
    errors = [
        (run(sampler(steps), path, optimal(path), start) - (MEAN + STD * start)).abs().mean()
        for steps in (64, 128)
    ]
    assert errors[0] < 0.05
    assert math.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.3)


def test_fewer_steps_start_and_end_where_all_do():
    path = DDPM(steps=1000)
    for steps in (1, 3, 50, 1000):
        times = path.grid(steps)
        assert len(times) == steps + 1 and times[0] == 1 and times[-1] == 0
        assert (times.diff() < 0).all()
    assert path.grid(50)[1] == pytest.approx(0.98)


def test_what_a_sampler_cannot_go_is_refused():
    with pytest.raises(ValueError, match=r"sampler=DDIM is of .*path=DDPM: Euler or Heun"):
        DDIM().check(RectifiedFlow())
    with pytest.raises(ValueError, match=r"sampler=Heun is of .*=RectifiedFlow: DDIM or Anc"):
        Heun().check(DDPM())
    with pytest.raises(ValueError, match=r"sampler\.steps=50, but --model\.path\.steps=20"):
        DDIM(50).check(DDPM(steps=20))
    with pytest.raises(ValueError, match="--steps=5: Ancestral takes all"):
        Ancestral().take(5, DDPM())


# The module: samples, guidance, labels.


class Told(nn.Module):
    """Predicts the label it is given, at every value."""

    def forward(self, x_t, times, labels=None):
        assert times.shape == labels.shape == x_t.shape[:1]
        return labels.to(x_t.dtype).view(-1, *[1] * (x_t.ndim - 1)).expand_as(x_t)


def test_guidance_goes_from_without_a_label_to_it_and_further():
    x, times, labels = torch.zeros(3, 2), torch.ones(3), torch.tensor([0, 1, 3])
    for guidance in (0.0, 1.0, 2.5):
        options = {"classes": 4, "label_dropout": 0.1, "guidance": guidance}
        found = model(Told(), DDPM(), **options).guided(x, times, labels)
        expected = 4 + guidance * (labels - 4)  # a network without label is told the label 4
        torch.testing.assert_close(found, expected.float().unsqueeze(1).expand(3, 2))


def test_guidance_costs_a_second_pass_only_where_it_mixes():
    seen = []

    class Counted(Told):
        def forward(self, x_t, times, labels=None):
            seen.append(len(x_t))
            return super().forward(x_t, times, labels)

    for guidance in (0.0, 1.0, 3.0):
        made = model(Counted(), DDPM(), classes=4, label_dropout=0.1, guidance=guidance)
        made.guided(torch.zeros(3, 2), torch.ones(3), torch.tensor([0, 1, 3]))
    assert seen == [3, 3, 6]


def test_missing_labels_are_none():
    made = model(Told(), DDPM(), classes=4)
    assert made.labels(torch.tensor([2, MISSING, 0])).tolist() == [2, 4, 0]
    assert model(Told(), DDPM()).labels(torch.tensor([2])) is None


def test_images_are_kept_within_their_range_where_it_is_wanted():
    class Far(nn.Module):
        def forward(self, x_t, times):
            return torch.full_like(x_t, 3.0)

    x, times = torch.zeros(2, 1, 4, 4), torch.tensor([0.5, 0.9])
    path = DDPM("x0")
    clipped = model(Far(), path).denoised(x, times, None)
    assert clipped.x0.unique().tolist() == [1.0]
    torch.testing.assert_close(path.noisy(clipped, times), x, atol=1e-6, rtol=0)
    assert model(Far(), path, clip=False).denoised(x, times, None).x0.unique().tolist() == [3.0]
    assert model(Far(), path).denoised(x[:, 0, 0], times, None).x0.unique().tolist() == [3.0]


def network(classes=None):
    """An untrained one that does not predict zeros."""
    torch.manual_seed(0)
    made = ResidualMLP([2], 16, 2, classes)
    nn.init.normal_(made.head.weight, 0.0, 0.3)
    return made


@pytest.mark.parametrize("sampler", [Ancestral(), DDIM(10, 1.0), DDIM(10), Euler(10), Heun(5)])
def test_a_sample_depends_on_its_seed_and_row_alone(sampler):
    path = DDPM(steps=20) if sampler.path is DDPM else RectifiedFlow()
    made = model(network(), path, sampler)
    rows = torch.arange(12)
    whole = made.sample(noise(rows, EVALUATION, 3))
    torch.manual_seed(1)
    parts = [made.sample(noise(part, EVALUATION, 3)) for part in (rows[:1], rows[1:8], rows[8:])]
    torch.testing.assert_close(torch.cat(parts), whole, rtol=1e-4, atol=1e-5)
    order = torch.tensor([5, 0, 11])
    found = made.sample(noise(order, EVALUATION, 3))
    torch.testing.assert_close(found, whole[order], rtol=1e-4, atol=1e-5)
    assert (made.sample(noise(rows, EVALUATION, 4)) - whole).abs().mean() > 0.1
    assert whole.unique().numel() == 24


def test_a_sampler_s_states_are_not_kept(monkeypatch):
    made, alive, most = model(network(), DDPM(steps=20), Ancestral()), weakref.WeakSet(), []
    step = Ancestral.step

    def watched(self, *args):
        x = step(self, *args)
        alive.add(x)
        most.append(len(alive))
        return x

    monkeypatch.setattr(Ancestral, "step", watched)
    made.sample(noise(4, EVALUATION))
    assert len(most) == 20 and max(most) <= 3


def test_the_noise_of_each_step_is_its_own():
    """A sampler that repeated its noise would draw too widely: noise adds up in squares."""
    made, drawn = model(network(), DDPM(steps=20), Ancestral()), []
    rows = noise(4, EVALUATION)
    normal = rows.normal
    rows.normal = lambda *key: drawn.append(normal(*key)) or drawn[-1]
    made.sample(rows)
    assert len(drawn) == 1 + 19 and torch.stack(drawn).unique().numel() == 20 * 8


def test_normal_numbers_are_those_of_the_uniform_ones():
    rows = noise(1000)
    assert rows.normal((3,), 20).equal(normals(rows.uniform(20, (3,))))
    assert not rows.normal((3,), 20).equal(rows.normal((3,), 20, 1))
    assert rows.normal((2, 3), 20).std() == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize(
    ("path", "shape", "clip", "is_said"),
    [
        (DDPM("epsilon", "cosine"), (2,), True, True),
        (DDPM("epsilon", "cosine"), (1, 8, 8), False, True),
        (DDPM("epsilon", "cosine"), (1, 8, 8), True, False),
        (DDPM("v", "cosine"), (2,), True, False),
        (DDPM("epsilon", "linear"), (2,), True, False),
        (RectifiedFlow(), (2,), True, False),
    ],
)
def test_an_example_that_is_the_network_s_error_is_told(monkeypatch, path, shape, clip, is_said):
    """With next to no signal at the first step, and nothing that clips it."""
    said = []
    monkeypatch.setattr("recipes.diffusion.checks.rank_zero_info", said.append)
    note_extrapolation(path, shape, clip)
    assert bool(said) == is_said
    assert not said or "the network's error 20," in said[0]


def test_what_makes_no_sense_together_is_refused():
    for options, line in (
        ({"guidance": 2.0}, r"--model\.guidance=2: there are no --model\.classes"),
        ({"guidance": 2.0, "classes": 3}, r"--model\.guidance=2 needs examples without a label"),
        ({"label_dropout": 0.1}, r"--model\.label_dropout=0\.1: there are no --model\.classes"),
    ):
        with pytest.raises(ValueError, match=line):
            Diffusion(network(), **options)


# Networks.


@pytest.mark.parametrize("classes", [None, 3])
@pytest.mark.parametrize("size", [8, 28, 32])
def test_a_u_net_keeps_the_shape_and_sees_time_and_label(size, classes):
    torch.manual_seed(0)
    made = UNet([1, size, size], [8, 16, 16] if size > 8 else [8, 16], classes)
    images, times = torch.randn(2, 1, size, size), torch.tensor([0.1, 0.7])
    labels = torch.tensor([0, 3]) if classes else None
    assert made(images, times, labels).abs().max() == 0, "it starts at zero"
    for weight in made.parameters():
        nn.init.normal_(weight, 0.0, 0.1)
    found = made(images, times, labels)
    assert found.shape == images.shape
    assert (made(images, times.flip(0), labels) - found).abs().mean() > 1e-4
    if classes:
        assert (made(images, times, labels.flip(0)) - found).abs().mean() > 1e-4
    with pytest.raises(ValueError, match="a network has classes if"):
        made(images, times, None if classes else torch.tensor([0, 1]))


def test_neighbouring_times_have_neighbouring_waves():
    found = waves(torch.tensor([0.5, 0.501, 0.9]), 64)
    assert found.shape == (3, 64) and found.abs().max() <= 1
    near, far = (found[k] - found[0] for k in (1, 2))
    assert 0 < near.norm() < far.norm()
