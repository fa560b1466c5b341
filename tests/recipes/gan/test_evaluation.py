"""Evaluation of samples: each value against its definition, and what it leaves as it was."""

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from sklearn.neighbors import NearestNeighbors
from torch import nn
from torchmetrics.image.kid import poly_mmd

import recipes.parts.evaluation.distances
from datamodules import Digits, Grid, Ring
from marks import some
from recipes.classify import Classify
from recipes.parts.evaluation import ImageQuality, MixtureQuality, StackedModes
from recipes.parts.evaluation.distances import (
    classifier_score,
    discrepancy,
    divergence,
    entropy,
    frechet_distance,
    kernel_distance,
    shares,
)
from recipes.parts.evaluation.extractor import Extractor, digest
from recipes.parts.evaluation.neighbours import ROWS, fidelity_and_diversity
from recipes.parts.networks import MLP
from trains import rows


def features(seed, count=40, size=5, shift=0.0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, size, generator=generator) * torch.arange(1, size + 1) + shift


REAL, FAKE = features(1), features(2, shift=1.0)


def test_kernel_distance_is_the_unbiased_estimate_of_the_paper():
    def kernel(one, other):
        return (float(one @ other) / len(one) + 1) ** 3

    real, fake = REAL.double(), FAKE.double()
    n = len(real)
    pairs = [(i, j) for i in range(n) for j in range(n) if i != j]
    expected = sum(kernel(real[i], real[j]) + kernel(fake[i], fake[j]) for i, j in pairs)
    expected /= n * (n - 1)
    expected -= 2 * sum(kernel(x, y) for x in real for y in fake) / n**2
    assert kernel_distance(REAL, FAKE).item() == pytest.approx(expected, rel=1e-5)


def test_discrepancy_is_that_of_torchmetrics_in_several_blocks():
    x, y = torch.randn(2, 300, 7, generator=torch.Generator().manual_seed(0)).double() + 2
    assert discrepancy(x, y).item() == pytest.approx(poly_mmd(x, y).item(), abs=1e-12)


def test_kernel_distance_of_many_is_of_subsets_and_zero_on_average(monkeypatch):
    monkeypatch.setattr(recipes.parts.evaluation.distances, "SIZE", 50)
    points = torch.randn(8, 200, 3, generator=torch.Generator().manual_seed(0))
    same = [kernel_distance(one, other).item() for one, other in points.unflatten(0, (4, 2))]
    assert min(same) < 0 < max(same)
    assert kernel_distance(points[0], points[1] + 1).item() > 5 * max(map(abs, same))


def test_frechet_distance_is_that_of_two_normal_distributions():
    real, fake = (points.double().numpy() for points in (REAL, FAKE))
    one, other = np.cov(real, rowvar=False), np.cov(fake, rowvar=False)
    root = sqrtm(one @ other).real
    expected = ((real.mean(0) - fake.mean(0)) ** 2).sum() + np.trace(one + other - 2 * root)
    assert frechet_distance(REAL, FAKE).item() == pytest.approx(expected, rel=1e-5)
    far = frechet_distance(REAL + 1e4, FAKE + 1e4)
    torch.testing.assert_close(far, frechet_distance(REAL, FAKE), rtol=1e-3, atol=1e-3)


def ball(points, neighbours):
    """Radii of the balls around points that reach to a neighbour."""
    found = NearestNeighbors(n_neighbors=neighbours + 1).fit(points).kneighbors(points)[0]
    return found[:, -1]


@pytest.mark.parametrize("count", [40, ROWS + 70])
def test_fidelity_and_diversity_are_the_papers_formulas(count):
    real, fake = features(1, count), features(2, count + 3, shift=1.0)
    within = np.array([[math.dist(x, y) for x in real.tolist()] for y in fake.tolist()])
    real, fake = real.numpy(), fake.numpy()
    is_covered = within <= ball(real, 5)
    expected = {
        "precision": (within <= ball(real, 3)).any(1).mean(),
        "recall": (within <= ball(fake, 3)[:, None]).any(0).mean(),
        "density": is_covered.sum() / (5 * len(fake)),
        "coverage": is_covered.any(0).mean(),
    }
    found = fidelity_and_diversity(torch.from_numpy(real), torch.from_numpy(fake))
    assert {name: value.item() for name, value in found.items()} == pytest.approx(expected)
    assert 0 < expected["precision"] < 1 and 0 < expected["recall"] < 1


def test_copies_of_one_example_are_precise_and_recall_nothing():
    found = fidelity_and_diversity(REAL, REAL[:1].expand(40, -1))
    assert found["precision"] == 1
    assert found["recall"] <= 1 / 40 and found["coverage"] < 0.5


def test_entropies_and_divergences_are_in_nats():
    found = shares(torch.tensor([0, 0, 1, 3]), 4)
    assert found.tolist() == [0.5, 0.25, 0, 0.25]
    assert entropy(found).item() == pytest.approx(1.5 * math.log(2))
    assert divergence(found, torch.full((4,), 0.25)).item() == pytest.approx(0.5 * math.log(2))
    sure = 1000 * torch.eye(10)
    assert classifier_score(sure.repeat(3, 1)).item() == pytest.approx(10)
    assert classifier_score(sure[:1].repeat(9, 1)).item() == pytest.approx(1)
    assert classifier_score(torch.zeros(9, 10)).item() == pytest.approx(1)


def test_the_generators_of_random_numbers_stay_as_they_are(monkeypatch):
    monkeypatch.setattr(recipes.parts.evaluation.distances, "SIZE", 20)
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    one = kernel_distance(REAL, FAKE)
    assert torch.rand(1) == expected
    assert one == kernel_distance(REAL, FAKE)


def mixture(data, samples):
    metric = MixtureQuality()
    metric.prepare(data, "val")
    for part in samples.split(700):
        metric.update(part, part, torch.zeros(len(part)))
    return {name: value.item() for name, value in metric.compute().items()}


@pytest.mark.parametrize(("data", "modes"), [(Ring(), 8), (Grid(), 25)])
def test_a_mixture_is_of_its_own_quality(data, modes):
    """Within 3 standard deviations in the plane: 1 - exp(-9/2) of them."""
    found = mixture(data, data.draw(20_000, 9).inputs)
    assert found["modes"] == modes
    assert found["high_quality"] == pytest.approx(1 - math.exp(-4.5), abs=0.003)
    assert found["reverse_kl"] < 0.001
    assert found["mode_entropy"] == pytest.approx(math.log(modes), abs=0.001)


def test_modes_are_found_by_samples_of_high_quality_alone():
    data = Ring(std=0.01)
    ends = torch.tensor([[1.0, 0.0], [1.0, 0.029], [0.0, 1.031], [5.0, 0.1]])
    found = mixture(data, ends)
    assert found["modes"] == 1 and found["high_quality"] == 0.5
    # Three of four samples are nearest to one mode, one to another.
    kl = 0.75 * math.log(0.75 * 8) + 0.25 * math.log(0.25 * 8)
    assert found["reverse_kl"] == pytest.approx(kl)


@pytest.fixture
def classifier(recipe):
    """A checkpoint of a small network on the digits."""
    flags = ("--trainer.max_epochs=4", "--name=small", "--model.network.channels=[4, 8]")
    recipe("classify", "fit", *flags)
    return "runs/classify/small/checkpoints/last.ckpt"


def digits(count=300):
    data = Digits(batch_size=64)
    data.setup("fit")
    return data, torch.cat([batch[0] / 16 for batch in data.val_dataloader()])[:count]


def judge(metric, data, samples, real, split="val"):
    metric.prepare(data, split)
    for one, other in zip(samples.split(50), real.split(50), strict=True):
        metric.update(one, other, torch.zeros(len(one)))
    found = {name: value.item() for name, value in metric.compute().items()}
    assert set(metric.names) == found.keys(), "what may be monitored"
    metric.reset()
    return found


def test_images_are_compared_by_the_classifier_s_features(classifier):
    data, real = digits()
    metric = ImageQuality(classifier)
    samples = torch.rand(real.shape, generator=torch.Generator().manual_seed(0))
    found = judge(metric, data, samples, real)
    network = Classify.load_from_checkpoint(classifier).network.eval()
    with torch.no_grad():
        real_features, fake_features = network.features(real), network.features(samples)
        logits = network(samples)
    expected = {
        "kid_convnet": kernel_distance(real_features, fake_features),
        "fid_convnet": frechet_distance(real_features, fake_features),
        "classifier_score_convnet": classifier_score(logits),
        "mode_entropy_convnet": entropy(shares(logits.argmax(1), 10)),
    }
    for name, value in expected.items():
        assert found[name] == pytest.approx(value.item(), rel=1e-4), name
    assert metric.facts["sha256"] == digest(network) and len(digest(network)) == 12
    assert metric.facts["checkpoint"] == classifier


def test_the_floor_is_of_training_images_and_far_below_noise(classifier):
    data, real = digits()
    samples = torch.rand(real.shape, generator=torch.Generator().manual_seed(0))
    metric = ImageQuality(classifier)
    found = judge(metric, data, samples, real)
    assert found["fid_convnet_floor"] < 0.2 * found["fid_convnet"]
    assert found["coverage_convnet_floor"] > 0.9 > 2 * found["coverage_convnet"]
    again = judge(metric, data, real, real)
    assert again["fid_convnet"] < found["fid_convnet_floor"]
    floors = [name for name in found if name.endswith("_floor")]
    assert len(floors) == 6 and all(again[name] == found[name] for name in floors)


def test_nothing_of_an_evaluation_is_saved_or_trained(classifier):
    data, real = digits()
    metric = ImageQuality(classifier)
    judge(metric, data, real, real)
    assert not list(metric.parameters()) and not metric.state_dict()


def test_the_extractor_stays_in_evaluation_mode(classifier):
    _, images = digits(8)
    extractor = Extractor(classifier)
    before = extractor(images)[0]
    extractor.train()
    torch.testing.assert_close(extractor(images)[0], before, rtol=0, atol=0)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(extractor(images)[0], before, rtol=0, atol=0)


def test_other_weights_have_another_hash():
    torch.manual_seed(0)
    network = MLP(4, [3])
    one = digest(network)
    with torch.no_grad():
        network.head.bias[0] += 1e-6
    assert digest(network) != one


def test_stacked_digits_are_read_channel_by_channel():
    class Reads(nn.Module):
        """Says the digit that is an image's brightness, times ten."""

        def forward(self, images):
            numbers = (10 * images.mean((1, 2, 3))).round().long()
            return None, torch.nn.functional.one_hot(numbers, 10).float()

    class Data:
        modes = 1000

    metric = StackedModes("none.ckpt")
    metric.extractor = Reads()
    metric.prepare(Data(), "val")
    numbers = torch.tensor([[0, 0, 7], [1, 2, 3], [9, 9, 9], [1, 2, 3]])
    images = (numbers / 10)[:, :, None, None].expand(-1, -1, 32, 32)
    metric.update(images, images, torch.tensor([7, 123, 999, 5]))
    assert torch.cat(metric.numbers).tolist() == [7, 123, 999, 123]
    found = metric.compute()
    assert set(metric.names) == found.keys()
    assert found["modes"] == 3 and found["modes_floor"] == 4
    kl = 0.5 * math.log(500) + 0.5 * math.log(250)
    assert found["kl"].item() == pytest.approx(kl)
    assert found["kl_floor"].item() == pytest.approx(math.log(250))


GAME = """
model:
  generator: {class_path: MLPGenerator, init_args: {latent: 8, widths: [16], shape: [1, 8, 8]}}
  discriminator: {class_path: MLPDiscriminator, init_args: {inputs: 64, widths: [16]}}
  latent: 8
data: {class_path: Digits, init_args: {batch_size: 128}}
trainer: {max_steps: 20, val_check_interval: 4, log_every_n_steps: 5}
"""


@pytest.fixture
def game():
    Path("game.yaml").write_text(GAME)
    return "--config=game.yaml"


@pytest.mark.slow
def test_a_run_names_its_extractor_and_another_process_s_values_are_the_same(
    recipe, classifier, game, capsys
):
    quality = "--model.evaluation=ImageQuality"
    recipe("gan", "fit", game, "--name=a", quality, f"--model.evaluation.checkpoint={classifier}")
    assert re.search(
        r"validation: .*kid_convnet -?[\d.]+ \(floor -?[\d.]+\)", capsys.readouterr().out
    )
    facts = json.loads(Path("runs/gan/a/evaluation.json").read_text())
    assert facts.keys() == {"name", "checkpoint", "sha256"} and facts["name"] == "convnet"
    last = [row for row in rows(Path("runs/gan/a")) if "val/kid_convnet" in row][-1]
    recipe("gan", "validate", "--ckpt_path=runs/gan/a/checkpoints/last.ckpt")
    (again,) = rows(Path("runs/gan/a"), "validate")
    assert {name: again[name] for name in last if name.startswith("val/")} == {
        name: value for name, value in last.items() if name.startswith("val/")
    }


@pytest.mark.parametrize(
    ("flags", "line"),
    some(
        [
            (("MixtureQuality",), "MixtureQuality: Digits has no modes; Ring has"),
            (
                ("StackedModes", "checkpoint=x.ckpt"),
                "StackedModes: StackedMNIST has them, not Digits",
            ),
            (("ImageQuality", "checkpoint=no.ckpt"), r"--model\.evaluation\.checkpoint.*no\.ckpt"),
            (("ImageQuality", "checkpoint=SMALL/identity.ckpt"), "parts `features` and `head`"),
            (("ImageQuality", "checkpoint=SMALL/three.ckpt"), r"does not take images \(1, 8, 8\)"),
        ],
        2,
    ),
)
@pytest.mark.filterwarnings("ignore:The state dict in .* contains no parameters")
def test_what_cannot_be_evaluated_is_refused_before_the_first_step(
    game, flags, line, recipe, classifier, tmp_path
):
    saved = torch.load(classifier, weights_only=True)
    network, state = saved["hyper_parameters"]["network"], saved["state_dict"]
    first = "network.features.0.weight"
    network["init_args"]["inputs"], state[first] = 3, state[first].expand(-1, 3, -1, -1)
    torch.save(saved, tmp_path / "three.ckpt")
    network |= {"class_path": "torch.nn.Identity", "init_args": {}}
    torch.save(saved | {"state_dict": {}}, tmp_path / "identity.ckpt")
    flags = [flag.replace("SMALL", str(tmp_path)) for flag in flags]
    options = [f"--model.evaluation={flags[0]}", *(f"--model.evaluation.{f}" for f in flags[1:])]
    with pytest.raises((ValueError, OSError), match=line):
        recipe("gan", "fit", game, *options)
    assert not list(Path("runs/gan").rglob("*.ckpt"))
