"""Autoencoders: bounds and likelihoods by definition, what bounds must keep, keyed noise."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import logistic, multivariate_normal
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.metrics import roc_auc_score
from torch import distributions as D
from torch import nn

from callbacks import LRDecay
from datamodules import Digits
from datamodules.images import ImageTable
from recipes.parts.noise import CODES, EVALUATION, PIXELS, Noise, normals
from recipes.vae import VAE
from recipes.vae.anomalies import Anomalies
from recipes.vae.bounds import (
    importance_weighted_bound,
    kl_to_prior,
    log_normal,
    log_weights,
    negative_elbo,
    negative_log_likelihood,
    sampled,
)
from recipes.vae.corruption import GaussianNoise, Masking, SaltAndPepper
from recipes.vae.likelihoods import Bernoulli, DiscretizedLogistic, Gaussian
from recipes.vae.networks import ConvDecoder, ConvEncoder, MLPDecoder, MLPEncoder
from recipes.vae.units import ActiveUnits, in_words
from trains import fit

CPU = torch.device("cpu")
IMAGES = torch.from_numpy(load_digits().images / 16).float().unsqueeze(1)


def seeded(*shape, seed=0, scale=1.0):
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).double()


def noise(rows=8, epoch=0, seed=0, dtype=torch.float32):
    return Noise(torch.arange(rows), epoch, seed, CPU, dtype)


def small(method="vae", likelihood=None, latent=3, **options):
    """An untrained VAE of digits, always the same."""
    torch.manual_seed(1)
    outputs = latent * (1 if method == "autoencoder" else 2)
    each = likelihood.parameters_per_value if likelihood else 1
    networks = (
        MLPEncoder(64, outputs, [16]),
        MLPDecoder(latent, [1, 8, 8], [16], parameters=each),
    )
    return VAE(*networks, likelihood, latent, method, **options)


# The bounds, by definition.


def test_the_elbo_is_its_definition():
    mean, log_variance = seeded(4, 3), seeded(4, 3, seed=1)
    log_likelihood = seeded(5, 4, seed=2)
    for beta in (1.0, 0.25):
        found = negative_elbo(log_likelihood, mean, log_variance, beta)
        for i in range(4):
            q = D.Normal(mean[i], (log_variance[i] / 2).exp())
            kl = D.kl_divergence(q, D.Normal(0.0, 1.0)).sum()
            expected = -sum(log_likelihood[k, i] for k in range(5)) / 5 + beta * kl
            torch.testing.assert_close(found[i], expected, check_dtype=False)


def test_the_analytic_kl_is_the_mean_of_samples():
    mean, log_variance = seeded(2, 3), seeded(2, 3, seed=1)
    z = sampled(mean, log_variance, seeded(100_000, 2, 3, seed=2))
    ratios = log_normal(z, mean, log_variance) - log_normal(z, 0.0, 0.0)
    error = ratios.std(0) / 100_000**0.5
    assert ((ratios.mean(0) - kl_to_prior(mean, log_variance).sum(1)).abs() < 4 * error).all()
    assert (error < 0.02).all()


def test_importance_weights_are_ratios_of_densities():
    mean, log_variance, z = seeded(2, 3), seeded(2, 3, seed=1), seeded(4, 2, 3, seed=2)
    log_likelihood = seeded(4, 2, seed=3, scale=5)
    found = log_weights(log_likelihood, z, mean, log_variance)
    bound = importance_weighted_bound(found)
    for i in range(2):
        q = multivariate_normal(mean[i], np.diag(log_variance[i].exp()))
        prior = multivariate_normal(np.zeros(3), np.eye(3))
        weights = [
            math.exp(log_likelihood[k, i]) * prior.pdf(z[k, i]) / q.pdf(z[k, i]) for k in range(4)
        ]
        np.testing.assert_allclose(found[:, i].exp(), weights)
        np.testing.assert_allclose(bound[i], math.log(sum(weights) / 4))


def test_the_bound_of_one_sample_is_that_of_the_elbo_with_a_sampled_kl():
    mean, log_variance, z = seeded(2, 3), seeded(2, 3, seed=1), seeded(1, 2, 3, seed=2)
    log_likelihood = seeded(1, 2, seed=3)
    found = importance_weighted_bound(log_weights(log_likelihood, z, mean, log_variance))
    kl = log_normal(z, mean, log_variance) - log_normal(z, 0.0, 0.0)
    torch.testing.assert_close(found, (log_likelihood - kl)[0])


# What bounds must keep.


def linear(latent=2):
    """A VAE whose log p(x) is known: x has 6 values and covariance W W' + I; q is a wrong one."""
    torch.manual_seed(0)
    encoder, decoder = MLPEncoder(6, 2 * latent, []), MLPDecoder(latent, [6], [])
    nn.init.normal_(encoder.head.weight, std=0.1)
    return VAE(encoder, decoder, Gaussian(std=1.0), latent, nll_samples=20_000).double()


def exact(module, x):
    """Log p(x) of a linear VAE, nats, (rows,)."""
    weight, bias = module.decoder.head.weight.detach(), module.decoder.head.bias.detach()
    variance = (2 * module.likelihood.log_scale).exp().item()
    covariance = weight @ weight.T + variance * torch.eye(len(bias))
    return multivariate_normal(bias.numpy(), covariance.numpy()).logpdf(x.numpy())


@torch.no_grad()
def test_the_bound_rises_with_k_up_to_log_p():
    """On a fixed network: Burda et al. 2016, theorem 1."""
    module, x = linear(), seeded(40, 6)
    mean, log_variance = module.encode(x)
    means, errors = [], []
    for k in (1, 5, 50):
        z = sampled(mean, log_variance, seeded(k * 200, 40, 2, seed=k))
        log_w = log_weights(module.likelihood(x, module.decode(z)), z, mean, log_variance)
        bounds = importance_weighted_bound(log_w.unflatten(0, (k, 200))).mean(1)  # over rows
        means.append(bounds.mean().item())
        errors.append(bounds.std().item() / 200**0.5)
    top = exact(module, x).mean()
    gaps = np.diff([*means, top])
    assert (gaps > 5 * np.array([max(errors[:2]), max(errors[1:]), errors[2]])).all(), (means, top)


@torch.no_grad()
def test_importance_sampling_finds_log_p():
    module, x = linear(), seeded(10, 6)
    found = negative_log_likelihood(module, x, noise(10, dtype=torch.float64), module.nll_samples)
    np.testing.assert_allclose(found.numpy(), -exact(module, x), atol=0.02)
    module.nll_samples = 75  # a whole block and half of one
    mean, log_variance = module.encode(x)
    blocks = [noise(10, dtype=torch.float64).codes(*block) for block in ((50, 2, 1), (25, 2, 2))]
    z = sampled(mean, log_variance, torch.cat(blocks))
    log_w = log_weights(module.likelihood(x, module.decode(z)), z, mean, log_variance)
    found = negative_log_likelihood(module, x, noise(10, dtype=torch.float64), module.nll_samples)
    torch.testing.assert_close(found, -importance_weighted_bound(log_w))


def test_the_loss_is_the_bound_of_the_codes_that_are_drawn():
    x = IMAGES[:8].round()
    for method, samples in (("vae", 1), ("vae", 3), ("iwae", 3)):
        module = small(method, samples=samples)
        terms = module.terms(x, noise())
        mean, log_variance = module.encoder(x).chunk(2, 1)
        z = mean + (log_variance / 2).exp() * noise().codes(samples, 3)
        logits = torch.stack([module.decoder(one) for one in z])
        log_p = D.Bernoulli(logits=logits).log_prob(x).sum((2, 3, 4))
        q, prior = D.Normal(mean, (log_variance / 2).exp()), D.Normal(0.0, 1.0)
        kl = D.kl_divergence(q, prior).sum(1)
        log_w = log_p + prior.log_prob(z).sum(2) - q.log_prob(z).sum(2)
        expected = {"vae": kl - log_p.mean(0), "iwae": math.log(samples) - log_w.logsumexp(0)}
        torch.testing.assert_close(terms["loss"], expected[method])
        torch.testing.assert_close(terms["kl"], kl)
        torch.testing.assert_close(terms["reconstruction"], -log_p.mean(0))


def test_an_autoencoder_has_no_noise_and_no_kl():
    module, x = small("autoencoder"), IMAGES[:8].round()
    terms = module.terms(x, noise())
    log_p = D.Bernoulli(logits=module.decoder(module.encoder(x))).log_prob(x).sum((1, 2, 3))
    torch.testing.assert_close(terms["loss"], -log_p)
    assert "kl" not in terms and module.active_units is None


def test_a_denoising_encoder_sees_corrupted_values_and_the_loss_the_true_ones():
    module, x = small("autoencoder", corruption=Masking(0.5)), IMAGES[:8].round()
    seen = module.corrupted(x, noise())
    assert (seen[x == 1] == 0).float().mean() == pytest.approx(0.5, abs=0.1)
    assert seen[x == 0].sum() == 0
    log_p = D.Bernoulli(logits=module.decoder(module.encoder(seen))).log_prob(x).sum((1, 2, 3))
    torch.testing.assert_close(module.terms(x, noise())["loss"], -log_p)


# Probabilistic PCA (Tipping & Bishop 1999) is the optimum of a linear VAE (Lucas et al. 2019).

ROWS = load_digits().data / 16
SCORES = {5: 8.907632, 10: 17.451942, 20: 27.277294}  # scikit-learn's, nats an image


def linear_vae(latent, **options):
    torch.manual_seed(0)
    networks = MLPEncoder(64, 2 * latent, []), MLPDecoder(latent, [1, 8, 8], [])
    return VAE(*networks, Gaussian(std=0.3), latent, **options)


@torch.no_grad()
def exact_elbo(module):
    """Mean ELBO of all digits, nats: of a linear decoder the expectation over q is known."""
    x = torch.from_numpy(ROWS).to(module.dtype)
    mean, log_variance = module.encode(x)
    weight, variance = module.decoder.head.weight, (2 * module.likelihood.log_scale).exp()
    errors = (x - module.decoder.head(mean)).square().sum(1)
    errors += (log_variance.exp() * weight.square().sum(0)).sum(1)
    log_p = -0.5 * (errors / variance + 64 * (2 * math.pi * variance).log())
    return -negative_elbo(log_p.unsqueeze(0), mean, log_variance).mean().item()


def ppca(latent):
    """A linear VAE with the weights of scikit-learn's PCA: the posterior is then exact."""
    found, module = PCA(latent, svd_solver="full").fit(ROWS), linear_vae(latent).double()
    axes, noise = torch.from_numpy(found.components_), found.noise_variance_
    stds = torch.from_numpy(found.explained_variance_ - noise).sqrt()
    with torch.no_grad():
        weight = axes.T * stds
        decode, encode = module.decoder.head, module.encoder.head
        decode.weight.copy_(weight)
        decode.bias.copy_(torch.from_numpy(found.mean_))
        precision = stds.square() + noise  # of the code given x, times the noise; diagonal
        encode.weight.copy_(torch.cat([weight.T / precision.unsqueeze(1), 0 * weight.T]))
        means = encode.weight[:latent] @ decode.bias
        encode.bias.copy_(torch.cat([-means, (noise / precision).log()]))
        module.likelihood.log_scale.fill_(math.log(noise) / 2)
    return module, found.score(ROWS)


@pytest.mark.parametrize("latent", SCORES)
def test_the_elbo_of_probabilistic_pca_is_its_log_likelihood_and_the_maximum(latent):
    module, score = ppca(latent)
    assert score == pytest.approx(SCORES[latent], abs=1e-5)
    assert exact_elbo(module) == pytest.approx(score, abs=1e-6)
    torch.manual_seed(1)
    for parameter in module.parameters():
        kept = parameter.detach().clone()
        for sign in (1, -1):
            with torch.no_grad():
                parameter.add_(sign * 0.01 * torch.randn_like(parameter))
            assert exact_elbo(module) < score
            parameter.data.copy_(kept)


@torch.no_grad()
def test_the_loss_of_probabilistic_pca_is_its_log_likelihood():
    """Through the module's own terms; with an exact posterior each weight is p(x), whatever z."""
    module, score = ppca(5)
    module.method, module.samples = "iwae", 2
    terms = module.terms(torch.from_numpy(ROWS).view(-1, 1, 8, 8), noise(1797, dtype=torch.float64))
    assert -terms["loss"].mean().item() == pytest.approx(score, abs=1e-6)


class AllDigits(Digits):
    """All 1,797 to train on."""

    def setup(self, stage):
        super().setup(stage)
        tables = self.tables.values()
        images, labels = (torch.cat([getattr(t, k) for t in tables]) for k in ("images", "labels"))
        self.tables = {"train": ImageTable(images, labels)}


@pytest.mark.slow
@pytest.mark.parametrize(("latent", "epochs"), [(5, 300), (10, 400), (20, 1000)])
def test_a_trained_linear_vae_is_probabilistic_pca(latent, epochs, tmp_path):
    adam = lambda params: torch.optim.Adam(params, lr=0.1, fused=True)  # noqa: E731
    module = linear_vae(latent, samples=8, optimizer=adam)
    fit(module, AllDigits(batch_size=256), tmp_path, [LRDecay()], max_epochs=epochs)
    assert SCORES[latent] - 0.05 < exact_elbo(module) < SCORES[latent]


# Likelihoods.


def test_a_bernoulli_likelihood_is_torchs():
    x, logits = (seeded(2, 1, 4, 4) > 0).double(), seeded(3, 2, 1, 4, 4, scale=20)
    expected = D.Bernoulli(logits=logits).log_prob(x).sum((2, 3, 4))
    torch.testing.assert_close(Bernoulli()(x, logits), expected)
    torch.testing.assert_close(Bernoulli().mean(logits), logits.sigmoid())


@pytest.mark.parametrize("scale", ["fixed", "learnt", "decoded"])
def test_a_gaussian_likelihood_is_torchs(scale):
    likelihood = Gaussian(scale, std=0.3).double()
    x, outputs = seeded(2, 1, 4, 4), seeded(3, 2, likelihood.parameters_per_value, 4, 4, seed=1)
    std = 0.3 * outputs[:, :, 1:].exp() if scale == "decoded" else 0.3
    expected = D.Normal(outputs[:, :, :1], std).log_prob(x).sum((2, 3, 4))
    torch.testing.assert_close(likelihood(x, outputs), expected)
    assert likelihood.mean(outputs).equal(outputs[:, :, :1])
    assert [name for name, _ in likelihood.named_parameters()] == (
        ["log_scale"] if scale == "learnt" else []
    )


@pytest.mark.parametrize("scale", ["fixed", "learnt", "decoded"])
def test_the_levels_of_a_discretised_logistic_have_all_the_probability(scale):
    likelihood = DiscretizedLogistic(17, scale, std=0.07).double()
    levels = torch.arange(17).double().div(16).view(17, 1)
    outputs = seeded(3, 1, likelihood.parameters_per_value, seed=1, scale=0.7)
    log_p = likelihood.of_values(levels, outputs.expand(3, 17, -1)).squeeze(2)
    torch.testing.assert_close(log_p.exp().sum(1), torch.ones(3).double())
    mean = outputs[:, :, 0]
    s = 0.07 * outputs[:, :, 1].exp() if scale == "decoded" else torch.full((3, 1), 0.07)
    edges = [-np.inf, *(np.arange(16) / 16 + 1 / 32), np.inf]
    for sample in range(3):
        cdf = logistic(mean[sample].item(), s[sample].item()).cdf(edges)
        np.testing.assert_allclose(
            log_p[sample].detach().exp(), np.diff(cdf), rtol=1e-6, atol=1e-12
        )


def test_a_discretised_logistic_far_below_0_means_0():
    likelihood, outputs = DiscretizedLogistic(17), torch.tensor([-7.0, 0.3, 9.0]).view(1, 1, 3)
    assert likelihood.mean(outputs).flatten().tolist() == pytest.approx([0, 0.3, 1])
    levels = torch.arange(17).div(16).view(17, 1)
    log_p = likelihood.of_values(levels, outputs.expand(1, 17, 3))
    assert log_p.argmax(1).flatten().tolist() == [0, 5, 16]


def test_far_from_its_mean_a_discretised_logistic_has_a_gradient():
    """Where a difference of sigmoids is 0 in float32, and its logarithm -inf."""
    mean = torch.full((1, 1, 1), 0.9, requires_grad=True)
    x = torch.full((1, 1), 4 / 16)
    log_p = DiscretizedLogistic(17, "fixed", std=0.001)(x, mean)
    log_p.backward()
    assert log_p.item() == pytest.approx(-(0.9 - 9 / 32) / 0.001, rel=1e-4)
    assert mean.grad.item() == pytest.approx(-1000, rel=1e-4)


# Noise.


def test_a_rows_noise_is_the_same_in_any_batch():
    both = noise(8)
    for purpose in (PIXELS, CODES):
        one, two = (
            Noise(rows, 0, 0, CPU, torch.float32)
            for rows in (torch.arange(0, 8, 2), torch.arange(1, 8, 2))
        )
        if purpose == PIXELS:
            whole, first, second = (n.uniform(PIXELS, (3, 2)) for n in (both, one, two))
        else:
            whole, first, second = (n.codes(5, 4).transpose(0, 1) for n in (both, one, two))
        assert whole[::2].equal(first) and whole[1::2].equal(second)
    assert both.codes(5, 4)[:2].equal(both.codes(2, 4)), "further samples leave the first"


def test_noise_depends_on_seed_epoch_and_purpose_and_evaluation_on_no_epoch():
    drawn = [n.codes(2, 50) for n in (noise(), noise(epoch=1), noise(seed=1), noise(epoch=-1))]
    drawn.append(noise().codes(2, 50, block=1))
    for i, one in enumerate(drawn):
        for other in drawn[:i]:
            assert abs(np.corrcoef(one.flatten(), other.flatten())[0, 1]) < 0.12
    module = small()
    assert EVALUATION < 0 and module.current_epoch == 0


def test_noise_is_standard_normal():
    drawn = noise(200).codes(20, 25)
    assert drawn.mean().item() == pytest.approx(0, abs=4e-3 * 4)
    assert drawn.std().item() == pytest.approx(1, abs=0.01)
    assert drawn.abs().max() < 5.5
    extreme = normals(torch.tensor([0.0, 1 - 2**-24, 0.5]))
    assert extreme.isfinite().all() and extreme[0] == -extreme[1] and abs(extreme[2]) < 1e-6


def test_pixels_are_black_or_white_with_their_own_probability():
    grey = torch.tensor([0.0, 0.25, 1.0]).expand(20_000, 3)
    drawn = Bernoulli().observed(grey, noise(20_000).uniform(PIXELS, (3,)))
    assert drawn.unique().tolist() == [0, 1]
    shares = drawn.mean(0)
    assert shares[0] == 0 and shares[2] == 1
    assert shares[1].item() == pytest.approx(0.25, abs=0.015)
    assert Bernoulli("threshold").observed(grey[:1], None).tolist() == [[0, 0, 1]]
    assert Bernoulli(None).observed(grey, None) is grey


def test_corruptions():
    random = noise(1000).uniform(12, (50,))
    x = torch.full((1000, 50), 0.4)
    masked = Masking(0.3)(x, random)
    assert (masked == 0).float().mean().item() == pytest.approx(0.3, abs=0.01)
    assert masked.unique().tolist() == pytest.approx([0, 0.4])
    salted = SaltAndPepper(0.3)(x, random)
    for value in (0, 1):
        assert (salted == value).float().mean().item() == pytest.approx(0.15, abs=0.01)
    added = GaussianNoise(0.2)(x, random) - x
    assert added.std().item() == pytest.approx(0.2, rel=0.02)


# Units and anomalies.


def test_active_units_are_those_whose_mean_varies():
    codes = seeded(100, 4).float() * torch.tensor([1.0, 0.2, 0.05, 0.0]) + 3
    metric = ActiveUnits(4)
    for part in codes.split(30):
        metric.update(part)
    variances = [np.var(codes[:, i].numpy()) for i in range(4)]
    assert metric.compute() == sum(v > 0.01 for v in variances) == 2
    assert in_words(2, 4) == "2 of 4 units active"
    assert "1 of 50 units active: posterior collapse" in in_words(1, 50)


def test_auroc_is_scikit_learns_also_of_large_scores_with_ties():
    metric, is_anomaly = Anomalies([3]), torch.tensor([True, False, False, True, False, True])
    scores = torch.tensor([900.0, 120.0, 900.0, 1000.0, 80.0, 120.0])
    metric.update(is_anomaly[:2], loss=scores[:2], reconstruction=-scores[:2])
    metric.update(is_anomaly[2:], loss=scores[2:], reconstruction=-scores[2:])
    found = metric.compute()
    expected = roc_auc_score(is_anomaly, scores)
    assert found["auroc_loss"].item() == pytest.approx(expected)
    assert found["auroc_reconstruction"].item() == pytest.approx(1 - expected)


# Networks.


@pytest.mark.parametrize("parameters", [1, 2])
def test_convolutions_give_shapes_that_fit(parameters):
    images = torch.zeros(3, 2, 28, 28)
    assert ConvEncoder([2, 28, 28], 10)(images).shape == (3, 10)
    decoder = ConvDecoder(5, [2, 28, 28], parameters=parameters)
    assert decoder(torch.zeros(3, 5)).shape == (3, 2 * parameters, 28, 28)
