"""Expectation maximisation beside scikit-learn, by definition, and through the Trainer."""

import copy
import math
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import logsumexp
from scipy.stats import bernoulli, multivariate_normal
from sklearn.datasets import load_digits, load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture as Theirs

from datamodules import Iris
from marks import some
from recipes.em import EM, BernoulliMixture, GaussianMixture
from recipes.em.module import log_likelihoods, responsibilities, step_size
from recipes.em.start import initialise, kmeans_plus_plus
from trains import fit, rows

KINDS = ("full", "tied", "diag", "spherical")
FLOWERS = load_iris().data
DIGITS = (load_digits().data > 8).astype(float)
ALL = {"batch_size": "full", "standardize": False, "val_size": 0, "test_size": 0}


def precisions(covariances, kind):
    return np.linalg.inv(covariances) if kind in ("full", "tied") else 1 / covariances


def started(kind, components=3, data=FLOWERS, seed=0):
    """Ours after k-means++, in float64."""
    mixture = GaussianMixture(data.shape[1], components, kind).double()
    initialise(mixture, torch.from_numpy(data), "kmeans++", seed)
    return mixture


def numpy_of(mixture):
    return [p.detach().numpy() for p in (mixture.weights, mixture.means, mixture.covariances)]


def theirs(mixture, steps, data=FLOWERS):
    """Scikit-learn's, after some steps from our parameters."""
    weights, means, covariances = numpy_of(mixture)
    other = Theirs(
        mixture.components,
        covariance_type=mixture.covariance,
        weights_init=weights / weights.sum(),
        means_init=means,
        precisions_init=precisions(covariances, mixture.covariance),
        max_iter=steps,
        tol=0,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return other.fit(data)


def trained(mixture, tmp_path, steps=1, data=None, **options):
    """A mixture after some epochs of a Trainer."""
    flags = {"max_epochs": steps, "precision": "64-true", "num_sanity_val_steps": 0}
    module = EM(mixture, start=None, **options.pop("module", {}))
    return fit(module, data or Iris(**ALL), tmp_path, **flags | options)[0].network


def flat(mixture):
    return torch.cat([p.detach().flatten() for p in mixture.parameters()])


def likelihood(mixture, data):
    return log_likelihoods(mixture(torch.from_numpy(data))).sum().item()


# Beside scikit-learn.


@pytest.mark.parametrize("kind", KINDS)
def test_after_the_same_steps_from_the_same_start_there_are_scikit_learns_parameters(
    kind, tmp_path
):
    mixture = started(kind)
    other = theirs(mixture, 7)
    trained(mixture, tmp_path, 7)
    for ours, expected in zip(
        numpy_of(mixture), (other.weights_, other.means_, other.covariances_), strict=True
    ):
        np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-10)
    assert likelihood(mixture, FLOWERS) == pytest.approx(other.score(FLOWERS) * 150, abs=1e-8)
    expected = other.bic(FLOWERS)
    bic = mixture.parameter_count * math.log(150) - 2 * likelihood(mixture, FLOWERS)
    assert bic == pytest.approx(expected, abs=1e-8)


SEEDS = {"diag": 1}
GOLDEN = [  # scikit-learn's, of iris
    ("full", 3, -180.1855, 580.839),
    ("tied", 3, -256.354, 632.963),
    ("diag", 3, -307.1776, 744.632),
    ("spherical", 3, -384.3141, 853.809),
    ("full", 2, -214.3547, 574.018),
]


@pytest.mark.parametrize(("kind", "components", "total", "bic"), some(GOLDEN, 1))
def test_the_golden_values_of_iris(kind, components, total, bic, recipe):
    """Of seed 0; for diag that finds a higher maximum than scikit-learn does, -306.8605."""
    shape = (f"--model.network.components={components}", f"--model.network.covariance={kind}")
    recipe(
        "em",
        "fit",
        "--config=iris",
        "--name=a",
        *shape,
        "--trainer.callbacks=[]",
        f"--seed_everything={SEEDS.get(kind, 0)}",
    )
    row = rows(Path("runs/em/a"))[-1]
    assert row["train/log_likelihood"] == pytest.approx(total, abs=2e-4)
    assert row["train/bic"] == pytest.approx(bic, abs=2e-3)
    assert row["train/loss"] == pytest.approx(-total / 150, abs=1e-5)


# By definition.


def log_normal(images, mean, covariance):
    """Log density of a matrix, variances or one variance, (rows,); as scipy's, without its eigh."""
    matrix = covariance if np.ndim(covariance) > 1 else np.eye(len(mean)) * covariance
    d = images.reshape(len(images), -1) - mean
    squares = (d * np.linalg.solve(matrix, d.T).T).sum(1)
    return -(len(mean) * math.log(2 * math.pi) + np.linalg.slogdet(matrix)[1] + squares) / 2


def test_the_definition_is_scipys():
    matrix = np.cov(FLOWERS.T)
    expected = multivariate_normal(FLOWERS[0], matrix).logpdf(FLOWERS)
    np.testing.assert_allclose(log_normal(FLOWERS, FLOWERS[0], matrix), expected)


@pytest.mark.parametrize("kind", some(KINDS, ["full", "diag"]))
def test_densities_are_those_of_the_definition_also_where_they_underflow(kind):
    """At 784 dimensions e^log p(x) is 0 even in float64."""
    generator = torch.Generator().manual_seed(1)
    mixture = GaussianMixture(784, 3, kind).double()
    with torch.no_grad():
        mixture.log_weights.copy_(torch.tensor([0.2, 0.3, 0.5]).log())
        mixture.means.normal_(generator=generator)
        mixture.covariances.mul_(torch.rand(mixture.covariances.shape, generator=generator) + 0.5)
    x = 3 * torch.randn(5, 28, 28, generator=generator, dtype=torch.float64)
    covariances = mixture.covariances.detach()
    each = covariances.expand(3, 784, 784) if kind in ("full", "tied") else covariances
    parts = mixture.means.detach().numpy(), each.numpy(), (0.2, 0.3, 0.5)
    slowly = [math.log(pi) + log_normal(x.numpy(), *of) for *of, pi in zip(*parts, strict=True)]
    found = mixture(x)
    np.testing.assert_allclose(found.detach().numpy(), np.stack(slowly, 1), rtol=1e-6)
    total = logsumexp(np.stack(slowly, 1), axis=1)
    assert (np.exp(total) == 0).all() and responsibilities(found).sum(1).allclose(
        torch.ones(5).double()
    )
    np.testing.assert_allclose(log_likelihoods(found).detach().numpy(), total, rtol=1e-6)


def test_densities_of_binary_values_are_those_of_scipy():
    generator = torch.Generator().manual_seed(1)
    mixture = BernoulliMixture(784, 2).double()
    with torch.no_grad():
        mixture.logits.normal_(std=4, generator=generator)
    x = torch.rand(4, 28, 28, generator=generator)
    black = (x > 0.5).flatten(1).numpy()
    slowly = [
        math.log(0.5) + bernoulli(p).logpmf(black).sum(1)
        for p in mixture.logits.detach().sigmoid().numpy()
    ]
    np.testing.assert_allclose(mixture(x).detach().numpy(), np.stack(slowly, 1), rtol=1e-9)
    assert (np.exp(slowly) == 0).all()


def test_one_component_is_the_sample_mean_in_one_step(tmp_path):
    mixture = trained(GaussianMixture(4, 1).double(), tmp_path)
    np.testing.assert_allclose(mixture.means[0].detach().numpy(), FLOWERS.mean(0), rtol=1e-12)
    expected = np.cov(FLOWERS.T, bias=True) + 1e-6 * np.eye(4)
    np.testing.assert_allclose(mixture.covariances[0].detach().numpy(), expected, rtol=1e-10)
    assert mixture.weights.tolist() == [1.0]


def test_the_bernoulli_m_step_is_the_weighted_share_of_ones():
    mixture, x = BernoulliMixture(64, 3).double(), torch.from_numpy(DIGITS)
    initialise(mixture, x, "random", 0)
    r = responsibilities(mixture(x)).detach()
    mixture.maximize(mixture.statistics(x, r), 1.0)
    for k in range(3):
        ones = [
            sum(r[i, k].item() * DIGITS[i, d] for i in range(len(x))) / r[:, k].sum().item()
            for d in (0, 10, 28)
        ]
        expected = np.clip(ones, 1e-3, 1 - 1e-3)
        np.testing.assert_allclose(
            mixture.logits[k, [0, 10, 28]].detach().sigmoid().numpy(), expected, rtol=1e-9
        )
    np.testing.assert_allclose(mixture.weights.detach(), r.mean(0), rtol=1e-9)


@pytest.mark.parametrize("kind", [*KINDS, "bernoulli"])
@pytest.mark.parametrize("how", ["kmeans++", "random"])
def test_the_likelihood_never_falls(kind, how):
    data = DIGITS if kind == "bernoulli" else FLOWERS
    x, found = torch.from_numpy(data), []
    mixture = (
        BernoulliMixture(64, 10) if kind == "bernoulli" else GaussianMixture(4, 3, kind, 0.0)
    ).double()
    initialise(mixture, x, how, 1)
    for _ in range(30):
        found.append(likelihood(mixture, data))
        mixture.maximize(mixture.statistics(x, responsibilities(mixture(x)).detach()), 1.0)
    steps = np.diff(found)
    assert (steps > -1e-9).all() and found[-1] > found[0] + 0.5


def test_far_from_zero_float32_has_the_digits_that_it_can_have():
    """Sums of squares about zero would lose them all: 1e4 squared has 1e8 of float32's 1e7."""
    far = FLOWERS + 1e4
    x = torch.from_numpy(far)
    mixture = GaussianMixture(4, 1)
    initialise(mixture, x.float(), "kmeans++", 0)
    expected = np.cov(far.astype(np.float32).astype(float).T, bias=True)
    found = mixture.covariances[0].detach().numpy()
    np.testing.assert_allclose(found, expected, atol=2e-3)
    squares = (x.float().T @ x.float()) / 150 - x.float().mean(0).outer(x.float().mean(0))
    assert np.abs(squares.numpy() - expected).max() > 1, "the negative control"


# Empty and singular components.


def test_an_empty_component_stays_where_it_is_and_takes_no_part():
    mixture, x = started("full", 2), torch.from_numpy(FLOWERS)
    with torch.no_grad():
        mixture.means[1] = 1e4
    r = responsibilities(mixture(x)).detach()
    assert r[:, 1].max() == 0
    mixture.maximize(mixture.statistics(x, r), 1.0)
    assert mixture.means[1].tolist() == [1e4] * 4 and mixture.weights[1] < 1e-15
    assert mixture.covariances[1].equal(1e-6 * torch.eye(4).double()), "as scikit-learn's"
    assert mixture(x).isfinite().all()


def test_a_component_of_one_row_has_the_variance_reg_covar():
    x = torch.tensor([[0.0, 0.0], [0.1, 0.0], [0.0, 0.1], [9.0, 9.0]]).double()
    mixture = GaussianMixture(2, 2, "full", 1e-3).double()
    initialise(mixture, x, "kmeans++", 0)
    alone = mixture.means[:, 0].argmax()
    torch.testing.assert_close(mixture.covariances[alone], 1e-3 * torch.eye(2).double())
    bare = GaussianMixture(2, 2, "full", 0.0).double()
    initialise(bare, x, "kmeans++", 0)
    with pytest.raises(ValueError, match=r"--model\.network\.reg_covar=0: .*not positive definite"):
        bare(x)
    bare = GaussianMixture(2, 2, "diag", 0.0).double()
    torch.nn.init.zeros_(bare.covariances)
    with pytest.raises(ValueError, match=r"--model\.network\.reg_covar=0: .*not positive definite"):
        bare(x)


# Where it starts.


def test_the_start_is_a_function_of_the_seed():
    one, two, other = (flat(started("full", 3, seed=seed)) for seed in (1, 1, 2))
    assert one.equal(two) and not one.equal(other)
    random = [GaussianMixture(4, 3).double() for _ in range(3)]
    for mixture, seed in zip(random, (1, 1, 2), strict=True):
        initialise(mixture, torch.from_numpy(FLOWERS), "random", seed)
    assert flat(random[0]).equal(flat(random[1])) and not flat(random[0]).equal(flat(random[2]))


def test_kmeans_plus_plus_draws_by_squared_distance():
    x = torch.tensor([[0.0], [1.0], [3.0]])
    drawn = [
        tuple(kmeans_plus_plus(x, 2, torch.Generator().manual_seed(seed)).flatten().tolist())
        for seed in range(2000)
    ]
    after_zero = [second for first, second in drawn if first == 0]
    assert len(after_zero) / 2000 == pytest.approx(1 / 3, abs=0.05)
    assert after_zero.count(3.0) / len(after_zero) == pytest.approx(0.9, abs=0.04)  # 9 : 1
    same = kmeans_plus_plus(torch.zeros(3, 1), 2, torch.Generator().manual_seed(0))
    assert same.shape == (2, 1)


def test_more_components_than_rows_are_refused():
    with pytest.raises(ValueError, match=r"--model\.network\.components=200: more than the 150"):
        started("full", 200)


# Through the Trainer: batches, processes, steps.


@pytest.mark.parametrize("kind", [*KINDS, "bernoulli"])
def test_accumulated_batches_are_one(kind, tmp_path):
    """Also of unequal sizes: 37, 38, 37, 38; gradients are sums, whatever they are divided by."""
    if kind == "bernoulli":
        mixture = BernoulliMixture(4, 3, threshold=2.0).double()
        initialise(mixture, torch.from_numpy(FLOWERS), "kmeans++", 0)
    else:
        mixture = started(kind)
    whole = trained(copy.deepcopy(mixture), tmp_path, 3)
    for many in (4, 9):
        parts = Iris(**ALL | {"batch_size": 40})
        parts.train_dataloader = parts.test_dataloader
        parts.part = lambda part, split, get=parts.part: get("train", split)
        options = {"accumulate_grad_batches": many, "data": parts}
        cut = trained(copy.deepcopy(mixture), tmp_path, 3, **options)
        torch.testing.assert_close(flat(cut), flat(whole), rtol=1e-11, atol=1e-12)


def test_step_sizes():
    assert [step_size(t, None) for t in range(3)] == [1.0] * 3
    assert [step_size(t, 0.6) for t in range(3)] == [2**-0.6, 3**-0.6, 4**-0.6]


@pytest.mark.parametrize("kind", KINDS)
def test_stepwise_is_the_recursion_on_uncentred_statistics(kind, tmp_path):
    """Cappé & Moulines 2009, with statistics as they write them: r, r x, r x x'."""
    mixture = started(kind)
    slow, s = copy.deepcopy(mixture), None
    data = Iris(**ALL | {"batch_size": 30})
    trained(mixture, tmp_path, 2, data=data, module={"stepwise": 0.7})
    assert data.trainer.global_step == 10
    reg, eye = 1e-6, torch.eye(4).double()
    for t in range(10):
        data.train_dataloader().set_epoch(0)
        loader = data.train_dataloader()
        loader.set_epoch(t // 5)
        x = list(loader)[t % 5][0]
        with torch.no_grad():
            r = responsibilities(slow(x)) / len(x)
            new = [r.sum(0), r.T @ x, torch.einsum("nk,nd,ne->kde", r, x, x)]
            if s is None:
                w, mu = slow.weights, slow.means
                cov = full_matrices(slow) - reg * eye
                s = [
                    w,
                    w[:, None] * mu,
                    w[:, None, None] * (cov + torch.einsum("kd,ke->kde", mu, mu)),
                ]
            gamma = (t + 2) ** -0.7
            s = [(1 - gamma) * a + gamma * b for a, b in zip(s, new, strict=True)]
            slow.log_weights.copy_(s[0].log())
            slow.means.copy_(s[1] / s[0][:, None])
            cov = s[2] / s[0][:, None, None] - torch.einsum("kd,ke->kde", slow.means, slow.means)
            slow.covariances.copy_(
                of_kind(cov, s[0], kind) + reg * of_kind(eye.expand(3, 4, 4), s[0], kind)
            )
    torch.testing.assert_close(flat(mixture), flat(slow), rtol=1e-8, atol=1e-9)


def full_matrices(mixture):
    """A mixture's covariances as a matrix for each component."""
    c = mixture.covariances
    if mixture.covariance in ("full", "tied"):
        return c.expand(mixture.components, -1, -1)
    return (c if c.ndim > 1 else c[:, None].expand(-1, mixture.inputs)).diag_embed()


def of_kind(matrices, weights, kind):
    diagonal = matrices.diagonal(dim1=-2, dim2=-1)
    return {
        "full": matrices,
        "tied": (weights[:, None, None] * matrices).sum(0) / weights.sum(),
        "diag": diagonal,
        "spherical": diagonal.mean(1),
    }[kind]
